"""The user as whom a command of root acts: the rule, and the only code that gives up root's rights.

With root's rights a command must never work on anything that a suite's user can write to: links,
fifos, locks, task code, an environment. So a command of root either only talks to systemd, or it
permanently becomes the owner of the suite's state before it reads anything but INI files. `way`
decides; `Verb` acts for every verb.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

import click

from warren.cli.user import uid_of
from warren.config.paths import directories_of, short_host
from warren.errors import ConfigError, WarrenError
from warren.system.process import hide_from_peers
from warren.system.users import take_rights, user_name, user_of

#: Verbs that only tell systemd what to do. What they need to know of the suite, they ask a child
#: that runs as the suite's owner.
_SYSTEMD = ("start", "stop", "restart")
#: Verbs that change the host itself. For each file of the suite they take the rights of the suite's
#: owner.
_HOST = ("broker init",)
#: Verbs that run a daemon.
_DAEMONS = ("supervise", "worker", "beat", "quota-watchdog", "web")


class Way(Enum):
    """How a command of root continues."""

    HERE = auto()  # as root, in this process
    CHILD = auto()  # as the owner, in a process, a session and an environment of its own
    # As the owner, in this process. The process then runs only Warren's code, and shows only text
    # that Warren has made printable.
    DROP = auto()
    REFUSE = auto()  # refuse the command: the operator has to name the user


def way(verb: str, asked: Mapping[str, Any], owner: int, terminal: bool) -> Way:
    """Decide how a verb that root has typed continues. Pure.

    asked: the verb's options. owner: the number of the suite's user, 0 for root's own suite.
    terminal: whether the command has a terminal; another user's code could type into it.
    """
    if verb in _SYSTEMD and not asked.get("rolling"):
        return Way.HERE
    if verb in _HOST:
        return Way.HERE
    if verb in _DAEMONS and asked.get("user"):
        # Without a terminal the user can do no harm: the standard streams of an init system are
        # meant for the suite.
        return Way.CHILD if terminal else Way.HERE
    if owner == 0:
        return Way.HERE
    if verb in _DAEMONS and not asked.get("stop"):
        return Way.REFUSE
    if verb == "health" or (verb == "logs" and asked.get("directories")):
        return Way.DROP
    return Way.CHILD


def owner_of(directory: Path, host: str | None) -> int:
    """Return the number of the user who owns the suite of these settings; 0 for root's own suite.

    Root reads only INI files to find the user. Raises Untrusted when several users could decide the
    answer, and when a suite of root would use directories of another user.
    """
    from warren.cli import trust

    directory = directory.absolute()
    if decider := trust.decider_of_settings(directory, host or short_host()):
        return decider  # root need not even read the files of that user
    try:
        directories = directories_of(directory, host)
    except ConfigError:
        return 0  # there are no settings, which the verb itself will report
    owner = trust.owner_of_state(directories.state)
    if owner:
        return owner
    # Either no suite has run yet, or somebody has given the directory to root by mistake. The unit
    # names the user.
    from warren.control.service import unit_user

    name = unit_user(directory)
    if name:
        return uid_of(name)
    trust.refuse_strangers(directories.log, "log_dir")
    trust.refuse_strangers(directories.run, "run_dir")
    return 0


def drop(context: Mapping[str, Any], paths: tuple[Path, ...] = ()) -> None:
    """Become the owner of the suite, or of `paths`, in this process and permanently.

    Does nothing unless this process is root's. Afterwards no process of that user may inspect this
    process or take its terminal.
    """
    if os.geteuid() != 0:
        return
    owner = _owner_of_all(paths) if paths else owner_of(context["directory"], context["host"])
    if owner:
        take_rights(user_of(owner))
        hide_from_peers()


class Verb(click.Command):
    """A verb of the command line. When root calls the verb, it continues as `way` decides."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, and keep the typed words for a child."""
        ctx.meta["words"] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb, in this process or in a child that is not root."""
        if os.geteuid() != 0 or self.name is None:
            return super().invoke(ctx)
        paths = tuple(ctx.params.get("directories") or ())
        # health drops root's rights itself, because it must report every error as a finding. When
        # the command line names a user, the owner need not be found.
        named, said = ctx.params.get("user", ""), ctx.obj
        if self.name == "health" or (self.name in _SYSTEMD and not ctx.params.get("rolling")):
            return super().invoke(ctx)
        owner = (
            0
            if named
            else _owner_of_all(paths)
            if paths
            else owner_of(said["directory"], said["host"])
        )
        chosen = way(self.name, ctx.params, owner, _has_terminal())
        if chosen is Way.HERE:
            if named:  # an init script has called, and the suite must not get its environment
                from warren.cli import unprivileged_child

                unprivileged_child.take_environment(user_of(uid_of(named)))
            return super().invoke(ctx)
        if chosen is Way.DROP:
            drop(said, paths)
            return super().invoke(ctx)
        user = user_of(uid_of(named) if named else owner)
        if chosen is Way.REFUSE:
            # The same message as `not_root_for_another`, but before any file of that user is read.
            state = directories_of(said["directory"].absolute(), said["host"]).state
            raise WarrenError(
                f"{state}: a daemon may not run as root, because the directory is of user "
                f"{user.name}; call warren start, or add --user {user.name}"
            )
        from warren.cli import unprivileged_child

        return unprivileged_child.run(
            user,
            said,
            [*self.name.split(), *ctx.meta["words"]],
            unprivileged_child.limits_of(self.name, ctx.params),
        )


def for_root() -> bool:
    """Return whether this process is a child of a root command. Root then reads its output."""
    return "WARREN_FOR_ROOT" in os.environ


def _owner_of_all(paths: tuple[Path, ...]) -> int:
    from warren.cli import trust

    owners = {trust.owner_of_state(path.absolute()) or 0 for path in paths}
    if len(owners) > 1:
        names = " and ".join(sorted(map(user_name, owners)))
        raise WarrenError(
            f"--dir: the directories are of users {names}, but root reads as one user; copy the "
            "logs to a directory of root's"
        )
    return owners.pop()


def _has_terminal() -> bool:
    if any(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
