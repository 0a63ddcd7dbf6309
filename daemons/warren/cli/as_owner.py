"""As whom a command acts that root has typed: the one rule, and the one place where root gives up its rights.

What a suite's user can write to (links, fifos, locks, task code, an environment) must never be worked on with root's rights. So
root only talks to systemd, or becomes the owner of the suite's state, for good, before it looks at anything but INI files.
`way` decides; `Verb` acts, for every verb.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

import click

from warren.cli.user import uid_of, user_of
from warren.config.folders import folders, short_host
from warren.errors import ConfigError, WarrenError
from warren.process import hide_from_peers

#: Verbs that only tell systemd what to do; what they have to know of the suite, a child that is its owner tells them.
_SYSTEMD = ("start", "stop", "restart")
#: Verbs that run a daemon.
_DAEMONS = ("supervise", "worker", "beat", "quota-watchdog")


class Way(Enum):
    """How a command of root's goes on."""

    HERE = auto()  # as root, in this process
    CHILD = auto()  # as the owner, in a process, a session and an environment of its own
    DROP = auto()  # as the owner, in this process, which runs no code but Warren's and shows only what it has made printable
    REFUSE = auto()  # not at all: the operator has to say as whom


def way(verb: str, asked: Mapping[str, Any], owner: int, terminal: bool) -> Way:
    """Decide how a verb goes on that root has typed; `asked` are its options, `owner` is 0 where the suite is root's own.

    `terminal`: whether the command has one, that code of another user could type into. Pure.
    """
    if verb in _SYSTEMD and not asked.get("rolling"):
        return Way.HERE
    if verb in _DAEMONS and asked.get("user"):
        # Without a terminal there is nothing to keep from the user: an init system's own standard streams go to the suite.
        return Way.CHILD if terminal else Way.HERE
    if owner == 0:
        return Way.HERE
    if verb in _DAEMONS and not asked.get("stop"):
        return Way.REFUSE
    if verb == "health" or (verb == "logs" and asked.get("folders")):
        return Way.DROP
    return Way.CHILD


def owner_of(folder: Path, host: str | None) -> int:
    """Return whose the suite is that these settings are of; 0 for root's own. Root reads INI files for that, and nothing else.

    Raises Untrusted where several users would decide it, and where a suite of root's own would use directories of another user.
    """
    from warren.cli import trust

    folder = folder.absolute()
    if decider := trust.decider_of_settings(folder, host or short_host()):
        return decider  # root need not even read what that user has written
    try:
        places = folders(folder, host)
    except ConfigError:
        return 0  # there are no settings, which the verb itself will say
    owner = trust.owner_of_state(places.state)
    if owner:
        return owner
    # No suite has run yet, or somebody has given the directory to root by mistake: the unit knows.
    from warren.service import unit_user

    name = unit_user(folder)
    if name:
        return uid_of(name)
    trust.refuse_strangers(places.log, "log_dir")
    trust.refuse_strangers(places.run, "run_dir")
    return 0


def drop(context: Mapping[str, Any], places: tuple[Path, ...] = ()) -> None:
    """Become the owner of the suite, or of `places`, in this process and for good; nothing happens to anybody but root.

    No process of that user may look into this one, or take hold of its terminal.
    """
    if os.geteuid() != 0:
        return
    owner = _owner_of_all(places) if places else owner_of(context["folder"], context["host"])
    if owner:
        user = user_of(owner)
        os.setgroups(user.groups)
        os.setgid(user.gid)
        os.setuid(user.uid)
        hide_from_peers()


class Verb(click.Command):
    """A verb of the command line. As root it goes on as `way` decides."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words as they were typed, for a child."""
        ctx.meta["words"] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb, here or in a child that is not root."""
        if os.geteuid() != 0 or self.name is None:
            return super().invoke(ctx)
        places = tuple(ctx.params.get("folders") or ())
        # health drops by itself: whatever is wrong, it has to be said as a finding. A named user needs no look.
        named, said = ctx.params.get("user", ""), ctx.obj
        if self.name == "health" or (self.name in _SYSTEMD and not ctx.params.get("rolling")):
            return super().invoke(ctx)
        owner = 0 if named else _owner_of_all(places) if places else owner_of(said["folder"], said["host"])
        chosen = way(self.name, ctx.params, owner, _has_terminal())
        if chosen is Way.HERE:
            if named:  # an init script's call: its own environment is not the suite's either
                from warren.cli import child

                child.take_environment(user_of(uid_of(named)))
            return super().invoke(ctx)
        if chosen is Way.DROP:
            drop(said, places)
            return super().invoke(ctx)
        user = user_of(uid_of(named) if named else owner)
        if chosen is Way.REFUSE:
            # As of `not_root_for_another`, before a file of that user's is looked at.
            state = folders(said["folder"].absolute(), said["host"]).state
            raise WarrenError(
                f"{state}: expected to run as {user.name}, whose folder it is, found root; "
                f"call warren start, or add --user {user.name}"
            )
        from warren.cli import child

        return child.run(user, said, [self.name, *ctx.meta["words"]], child.terms_of(self.name, ctx.params))


def for_root() -> bool:
    """Whether this process is such a child: whoever reads what it says is root."""
    return "WARREN_FOR_ROOT" in os.environ


def _owner_of_all(places: tuple[Path, ...]) -> int:
    from warren.cli import trust
    from warren.config.access import user_name

    owners = {trust.owner_of_state(place.absolute()) or 0 for place in places}
    if len(owners) > 1:
        names = " and ".join(sorted(map(user_name, owners)))
        raise WarrenError(
            f"--dir: the directories are of {names}, and root reads as one user; copy them to a directory of root's"
        )
    return owners.pop()


def _has_terminal() -> bool:
    if any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
