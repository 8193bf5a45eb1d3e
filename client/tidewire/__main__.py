"""`python -m tidewire`: the command line, as a child of a supervisor where it has one."""

from tidewire.cli import main
from tidewire.supervised import end_with_supervisor

if __name__ == "__main__":
    end_with_supervisor()
    main(prog_name="tidewire")
