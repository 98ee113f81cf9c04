# Completion of hvmpi, `python -m hvmpi` and run_chain.sh for bash, and for zsh by its bashcompinit.
# It knows verbs, options and their values by heart, and looks for runs itself: no Python is started.

@ARGUMENTS@

_hvmpi_of_run_chain="--ranks --hostfile"

# Set `values` to the runs in the directory that the command line names.
_hvmpi_find_runs() {
    local directory=${HVMPI_RUN_DIR:-runs} place path
    for ((place = 0; place < ${#typed[@]}; place++)); do
        case ${typed[place]} in
            --run-dir) directory=${typed[place + 1]-} ;;
            --run-dir=*) directory=${typed[place]#*=} ;;
        esac
    done
    values=
    for path in "$directory"/*; do
        path=${path##*/}
        [[ $path =~ ^[0-9]{14}$ ]] && values+=" $path"
    done
}

# Set `verb`, and `place` to where it stands or could: options of run_chain.sh may come before.
_hvmpi_find_verb() {
    verb=run place=0
    while [[ ${typed[place]-} == --ranks* || ${typed[place]-} == --hostfile* ]]; do
        [[ ${typed[place]} == *=* ]] || place=$((place + 1))
        place=$((place + 1))
    done
    case " $_hvmpi_verbs " in *" ${typed[place]:-run} "*) verb=${typed[place]:-run} ;; esac
}

_hvmpi_reply() {
    local reply
    while IFS= read -r reply; do
        COMPREPLY+=("$stem$reply")
    done < <(compgen "$@" -- "$current")
}

# _hvmpi_complete SKIP [OPTIONS]: complete what follows SKIP words; OPTIONS are there besides.
_hvmpi_complete() {
    local typed=() current= stem= verb place option= options= values= word joins=
    # bash takes --option=value apart.
    for word in "${COMP_WORDS[@]:$1:$((COMP_CWORD + 1 - $1))}"; do
        if [[ ($word == = || -n $joins) && ${#typed[@]} != 0 ]]; then
            typed[${#typed[@]}-1]+=$word
            [[ $word == = ]] && joins=yes || joins=
        else
            typed+=("$word")
        fi
    done
    current=${typed[${#typed[@]}-1]}
    typed=("${typed[@]:0:$((${#typed[@]} - 1))}")
    _hvmpi_find_verb
    if [[ $current == --*=* ]]; then
        option=${current%%=*} current=${current#*=}
        [[ ${COMP_WORDS[COMP_CWORD]} == --*=* ]] && stem=$option=
    elif ((${#typed[@]})); then
        option=${typed[${#typed[@]}-1]}
        [[ $option != --*=* ]] || option=
    fi
    _hvmpi_arguments "$verb" "$option"
    options+=" ${2-}"
    COMPREPLY=()
    if [[ $option != -* || $values == @nothing ]]; then
        if [[ $current == -* ]]; then
            values=$options
        else
            _hvmpi_arguments "$verb" ""
            ((${#typed[@]} == place)) && values+=" $_hvmpi_verbs"
            [[ -n $values || -n $current ]] || values=$options
        fi
    fi
    [[ $values == @run ]] && _hvmpi_find_runs
    case $values in
        @nothing | @anything) ;;
        @file) compopt -o filenames 2>/dev/null; _hvmpi_reply -f ;;
        @directory) compopt -o filenames 2>/dev/null; _hvmpi_reply -d ;;
        *) _hvmpi_reply -W "$values" ;;
    esac
}

_hvmpi() { _hvmpi_complete 1; }
_hvmpi_run_chain() { _hvmpi_complete 1 "$_hvmpi_of_run_chain"; }
