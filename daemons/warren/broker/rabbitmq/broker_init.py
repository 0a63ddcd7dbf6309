"""`warren broker init` on the host of a RabbitMQ: virtual host, user, permissions, URL, guest.

Each step looks first and changes only what differs. So a second run changes nothing, and the next
run completes a run that was killed. The URL is written to its file before RabbitMQ gets the
password, because a file can be restored and a password cannot. The INI files name the URL last.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from warren.broker.rabbitmq import broker_url, init_files, node_advice, node_state
from warren.broker.rabbitmq.node_state import GUEST, NodeState
from warren.broker.rabbitmq.rabbitmqctl import Rabbitmqctl
from warren.broker.rabbitmq.undoable_steps import Step, Steps
from warren.config.url_place import INI_FILE, SECRETS, URLPlace, place_of
from warren.errors import WarrenError
from warren.system.own_address import is_own
from warren.system.users import User, acting_as


@dataclass(frozen=True)
class Wanted:
    """What the operator wants."""

    vhost: str = "warren"
    user: str = "warren"
    keep_guest: bool = False
    dry_run: bool = False


class BrokerInit:
    """One run of the command for the suite of one directory of settings.

    owner: the suite's user.
    """

    def __init__(
        self,
        ctl: Rabbitmqctl,
        owner: User,
        wanted: Wanted,
        say: Callable[[Step], None],
    ) -> None:
        self._ctl = ctl
        self._owner = owner
        self._wanted = wanted
        self.steps = Steps(say, wanted.dry_run)

    def run(self, place: URLPlace) -> list[str]:
        """Set the broker up; return the warnings for the operator. Raises WarrenError."""
        wanted, settings = self._wanted, place.settings
        url = self._own_url(place)
        state = node_state.read(self._ctl, wanted.vhost, wanted.user)
        if reason := node_advice.refusal(state, wanted.vhost, settings):
            raise WarrenError(reason)
        self.steps.unchanged("node", f"RabbitMQ {state.version} answers")
        try:
            self._make_vhost(state)
            password = self._give_password(state, place, url)
            self._grant(state)
            self._name_in_ini(place)
            if self.steps.changed:
                self._verify(place, password)
        except BaseException:
            self.steps.undo()
            raise
        warnings = node_advice.warnings(state, wanted.vhost, wanted.user, settings)
        return [*warnings, *self._delete_guest(state)]

    def _own_url(self, place: URLPlace) -> str:
        """Return the URL of this host's broker that the settings have; empty when they have none.

        The suite's user can write the file of the URL. So the file must not decide for which user
        and virtual host root acts.
        """
        if not place.url:
            return ""
        where = place.file or place.settings.origin("broker", "url")
        url = broker_url.local(place.url, is_own)
        if not url:
            raise WarrenError(
                f"{where}: expected the URL of a broker on this host, found the URL of another "
                "host; run this command on that host, or remove the URL"
            )
        found, wanted = broker_url.parse(url), self._wanted
        if (found.user, found.vhost) != (wanted.user, wanted.vhost):
            raise WarrenError(
                f"{where}: expected user {wanted.user} and virtual host {wanted.vhost}, found user "
                f"{found.user} and virtual host {found.vhost}; add --user {found.user} --vhost "
                f"{found.vhost} if that is meant, or remove the URL"
            )
        return url

    def _make_vhost(self, state: NodeState) -> None:
        vhost = self._wanted.vhost
        if vhost in state.vhosts:
            self.steps.unchanged("vhost", f"virtual host {vhost} exists")
            return
        self.steps.take(
            "vhost",
            f"make virtual host {vhost}",
            lambda: self._ctl.tell("add_vhost", vhost),
            undo=("delete it", lambda: self._forget("delete_vhost", vhost)),
        )

    def _give_password(self, state: NodeState, place: URLPlace, url: str) -> str:
        """Give the file and RabbitMQ's user the same password; return the password.

        A password that both already have stays.
        """
        user, file = self._wanted.user, place.file
        exists = user in state.tags
        if url and exists and self._ctl.accepts(user, old := broker_url.parse(url).password):
            self.steps.unchanged("url", f"{file or 'the INI file'} has the URL")
            self.steps.unchanged("user", f"user {user} has the password in it")
            return old
        if file is None:
            raise WarrenError(
                f"{place.settings.origin('broker', 'url')}: the password in [broker] url is not "
                f"that of user {user}; remove the line, so that this command writes a url_file"
            )
        password = secrets.token_urlsafe(32)
        self.steps.take(
            "url",
            f"write {file}",
            lambda: self._write_url(file, state, place, url, password),
            undo=("restore it", lambda: self._restore_url(file, place.url)),
        )
        if exists:
            self.steps.take(
                "user",
                f"give user {user} a new password; other hosts need the new URL",
                lambda: self._change_password(user, password),
            )
        else:
            self.steps.take(
                "user",
                f"make user {user} with a new password",
                lambda: self._ctl.give_password("add_user", user, password),
                undo=("delete it", lambda: self._forget("delete_user", user)),
            )
        return password

    def _change_password(self, user: str, password: str) -> None:
        self._ctl.give_password("change_password", user, password)
        self.steps.keep("url")  # RabbitMQ no longer accepts the password of the old file

    def _forget(self, verb: str, name: str) -> None:
        """Delete a user or a virtual host that this run has made, if RabbitMQ has it."""
        listed = "list_users" if verb == "delete_user" else "list_vhosts"
        key = "user" if verb == "delete_user" else "name"
        if name in [each[key] for each in self._ctl.ask(listed)]:
            self._ctl.tell(verb, name)

    def _write_url(
        self, file: Path, state: NodeState, place: URLPlace, url: str, password: str
    ) -> None:
        user, vhost = self._wanted.user, self._wanted.vhost
        if url:
            text = broker_url.with_password(place.url, url, user, password)
        elif state.ports:
            text = broker_url.new_url(state.ports[0], user, password, vhost)
        else:
            raise WarrenError(
                "RabbitMQ listens on no port of AMQP without TLS; write the URL (amqps://) to "
                f"{file} yourself, and run this command again"
            )
        if file.parent == place.settings.directory / SECRETS:
            init_files.make_closed_directory(file.parent, self._owner)
        init_files.write_url(file, text, self._owner)

    def _restore_url(self, file: Path, old: str) -> None:
        if old:
            init_files.write_url(file, old, self._owner)
        else:
            init_files.remove_url(file, self._owner)

    def _grant(self, state: NodeState) -> None:
        wanted = self._wanted
        if node_advice.granted(state, wanted.vhost):
            self.steps.unchanged("permissions", f"user {wanted.user} has all permissions there")
            return
        old = state.permissions.get(wanted.vhost)
        self.steps.take(
            "permissions",
            f"give user {wanted.user} all permissions on virtual host {wanted.vhost}"
            + (f" (before: {' '.join(map(repr, old))})" if old else ""),
            lambda: self._ctl.tell(
                "set_permissions", "-p", wanted.vhost, wanted.user, *node_state.ALL
            ),
        )

    def _name_in_ini(self, place: URLPlace) -> None:
        if place.named or place.file is None:
            self.steps.unchanged("ini", "the INI files name the URL")
            return
        ini, file = place.settings.directory / INI_FILE, place.file
        old = init_files.ini_text(ini)
        self.steps.take(
            "ini",
            f"name it in {ini}",
            lambda: init_files.name_url_file(ini, old, file),
            undo=("restore it", lambda: init_files.restore_ini(ini, old)),
        )

    def _verify(self, place: URLPlace, password: str) -> None:
        """Check that the settings name the new URL, as the suite reads them. Raises WarrenError."""
        with acting_as(self._owner):
            found = place_of(place.settings.directory, place.settings.host)
        if not found.named or found.file != place.file:
            raise WarrenError(
                f"{found.settings.origin('broker', 'url_file')}: expected url_file = {place.file} "
                f"to count, as in {INI_FILE}, found that a later line replaces it; remove the "
                "later line"
            )
        url = broker_url.local(found.url, is_own)
        if not url or broker_url.parse(url).password != password:
            raise WarrenError(f"{place.file} was changed meanwhile; run this command again, alone")
        if not self._ctl.accepts(self._wanted.user, password):
            raise WarrenError(
                f"user {self._wanted.user} got another password meanwhile; run this command again, "
                "alone"
            )

    def _delete_guest(self, state: NodeState) -> Iterator[str]:
        if GUEST not in state.tags:
            self.steps.unchanged("guest", "user guest does not exist")
        elif self._wanted.keep_guest:
            self.steps.unchanged("guest", "user guest stays, as --keep-guest says")
        elif not self._ctl.accepts(GUEST, GUEST):
            self.steps.unchanged("guest", "user guest has a password of its own, and stays")
        elif state.guest_connections:
            self.steps.unchanged("guest", "user guest is in use, and stays")
            yield (
                f"user guest, whose password everybody knows, has {state.guest_connections} "
                "connections; give these programs another user, then run this command again"
            )
        else:
            self.steps.take(
                "guest",
                "delete user guest, whose password everybody knows",
                lambda: self._ctl.tell("delete_user", GUEST),
            )
