# Completion of hvmpi, `python -m hvmpi` and run_chain.sh for fish. It knows verbs, options and their
# values by heart, and looks for runs itself: no Python is started.

set -g __hvmpi_verbs @VERBS@

# The words behind hvmpi, run_chain.sh and its options, or python -m hvmpi; else it fails.
function __hvmpi_typed
    set -l typed (commandline -opc)
    if string match -qr '(^|/)python3?$' -- $typed[1]
        test "$typed[2..3]" = '-m hvmpi'; or return 1
        set -e typed[2..3]
    end
    set -e typed[1]
    while string match -qr '^--(ranks|hostfile)' -- $typed[1]
        string match -q '*=*' -- $typed[1]; or set -e typed[2]
        set -e typed[1]
    end
    for word in $typed
        echo -- $word
    end
end

# Whether one of these verbs stands there, run where none does.
function __hvmpi_is
    set -l typed (__hvmpi_typed); or return 1
    set -l verb run
    contains -- "$typed[1]" $__hvmpi_verbs; and set verb $typed[1]
    contains -- $verb $argv
end

function __hvmpi_has_no_word
    set -l typed (__hvmpi_typed); or return 1
    test (count $typed) = 0
end

function __hvmpi_runs
    set -l directory runs
    set -q HVMPI_RUN_DIR; and set directory $HVMPI_RUN_DIR
    set -l typed (commandline -opc)
    for place in (seq (count $typed))
        switch $typed[$place]
            case --run-dir
                set directory $typed[(math $place + 1)]
            case '--run-dir=*'
                set directory (string replace -- --run-dir= '' $typed[$place])
        end
    end
    for path in $directory/*
        string match -r '[0-9]{14}$' -- $path
    end
end

function __hvmpi_complete
    for command in hvmpi run_chain.sh python python3
        complete -c $command $argv
    end
end

complete -c run_chain.sh -l ranks -x -d 'ranks to start; 1 needs no mpirun'
complete -c run_chain.sh -l hostfile -r -d 'machines to run on'
@ARGUMENTS@
