"""`python -m tidewire`: the command line, as a child of a supervisor where it has one."""

from tidewire.commands.cli import main
from tidewire.commands.supervised import end_with_supervisor

if __name__ == "__main__":
    end_with_supervisor()
    main(prog_name="tidewire")
