"""Becomes a command that dies with its parent: launch.py PARENT_PID SIGNAL USER COMMAND...

What the command creates is its own user's alone. This is run by its path in isolated mode, so it imports the
standard library only. USER is a name or `-`.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Drop to USER, ask the kernel for SIGNAL when PARENT_PID dies, then exec COMMAND."""
    parent_pid, death_signal, user, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    os.umask(0o077)
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if sys.platform == "linux":
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent_pid:
            sys.exit("The parent has gone before its child could start.")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
