
autoload -Uz bashcompinit && bashcompinit
_hvmpi_python() {
    if [[ ${words[2]} == -m && ${words[3]} == hvmpi ]] && ((CURRENT > 3)); then
        _bash_complete -o default -F _hvmpi_module
    else
        _python
    fi
}
_hvmpi_module() { _hvmpi_complete 3; }

complete -o default -F _hvmpi hvmpi
complete -o default -F _hvmpi_run_chain run_chain.sh
compdef _hvmpi_python python python3
