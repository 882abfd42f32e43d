"""Users and their tokens: the first user, login by key, and the owner of a bearer token."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3

from store import Store
from store.records import TokenRecord, UserRecord
from taod.clock import Clock, SystemClock, seconds_of
from taod.errors import BadRequest, NotFound, StoreLost, Unauthorized
from taod.types.common import Login

BEARER = "bearer"
KEY = "key"
FIRST_USER = "local"
DAEMON_LABEL = "daemon"
LOGIN_LABEL = "login"
HOUR_S, DAY_S = 3600.0, 86_400.0


def require_first(store: Store, user_id: str, field: str, action: str, remedy: str = "ask them") -> None:
    """Raise BadRequest, which names `field`, unless the user is the root's first one, who alone may do `action`."""
    if user_id != store.users.first():
        raise BadRequest(f"{field}: only the first user of this root may {action}; {remedy}")


class Users:
    """Users and tokens. A token is returned once, when it is created; the store keeps its hash."""

    def __init__(self, store: Store, clock: Clock | None = None, login_days: float = 0.0) -> None:
        """`login_days`: days until the token of a login expires; 0: never."""
        self._store = store
        self._clock = clock or SystemClock()
        self._login_days = login_days

    def ensure_first(self) -> tuple[UserRecord, str]:
        """The root's default user, and a new bearer token for daemon.json.

        Creates a user named `local` if there are none. Revokes the token of the daemon's last start.
        """
        with self._store.durable():
            user = self._store.users.by_name(FIRST_USER)
            if user is None:
                everyone = self._store.users.all()
                user = everyone[0] if everyone else self._store.users.add(FIRST_USER)
            for token in self._store.users.tokens(user.id):
                if token.kind == BEARER and token.label == DAEMON_LABEL:
                    self._store.users.revoke(token.id)
            return user, self.issue(user.id, kind=BEARER, label=DAEMON_LABEL)

    def add(self, name: str) -> tuple[UserRecord, str]:
        """Create a user. Returns the user and a key for the login endpoint."""
        with self._store.durable():
            user = self._store.users.add(name)
            return user, self.issue(user.id, kind=KEY, label="first key")

    def issue(self, user_id: str, *, kind: str, label: str) -> str:
        """Create a token of 256 random bits and return it. Raises NotFound for an unknown user."""
        if self._store.users.get(user_id) is None:
            raise NotFound(f"user {user_id} not found")
        secret = secrets.token_urlsafe(32)
        with self._store.durable():
            self._store.users.add_token(user_id, kind=kind, label=label, secret=secret)
        return secret

    def login(self, key: str) -> Login:
        """Exchange a key for a bearer token. Raises Unauthorized for an unknown key."""
        found = self._store.users.by_token(key, kind=KEY)
        if found is None:
            raise Unauthorized("unknown key; create one with `taod user add`")
        user, used = found
        self._record_use(used)
        return Login(user_id=user.id, token=self.issue(user.id, kind=BEARER, label=LOGIN_LABEL))

    def verify_store(self) -> None:
        """Raise StoreLost unless the database is intact at its path."""
        self._store.verify()

    def by_bearer(self, token: str) -> UserRecord | None:
        """The user of a token; None if it is unknown, revoked or expired."""
        found = self._store.users.by_token(token, kind=BEARER)
        if found is None:
            return None
        user, used = found
        if self._login_days and used.label == LOGIN_LABEL:
            age_s = self._clock.time() - seconds_of(used.created_on)
            if age_s > self._login_days * DAY_S:
                return None
        self._record_use(used)
        return user

    def _record_use(self, token: TokenRecord) -> None:
        """Record the use of a token, at most once an hour."""
        if token.last_used_on is None or self._clock.time() - seconds_of(token.last_used_on) >= HOUR_S:
            # A failure (full disk, locked database) must not fail the request.
            with contextlib.suppress(sqlite3.Error, StoreLost):
                self._store.users.used(token.id)
