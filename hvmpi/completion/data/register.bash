
# Whatever completed python before still does, where it does not run hvmpi.
_hvmpi_python() {
    if [[ ${COMP_WORDS[1]-} == -m && ${COMP_WORDS[2]-} == hvmpi ]] && ((COMP_CWORD > 2)); then
        _hvmpi_complete 3
    elif [[ -n $_hvmpi_python_before ]]; then
        "$_hvmpi_python_before" "$@"
    fi
}
_hvmpi_python_before=${_hvmpi_python_before-}
[[ $(complete -p python 2>/dev/null) =~ -F\ ([^\ ]+) && ${BASH_REMATCH[1]} != _hvmpi_python ]] \
    && _hvmpi_python_before=${BASH_REMATCH[1]}

complete -o default -F _hvmpi hvmpi
complete -o default -F _hvmpi_run_chain run_chain.sh
complete -o default -F _hvmpi_python python python3
