"""The repository of users and tokens. Tokens are stored as SHA-256 only."""

from __future__ import annotations

import hashlib
import hmac

from store.columns import Columns
from store.database import Database
from store.records import TokenRecord, UserRecord
from taod.clock import Clock, iso
from taod.documents import control_character
from taod.errors import BadRequest, Conflict
from taod.ids import new_id

_USER = Columns(UserRecord)
_TOKEN = Columns(TokenRecord)
_MAX_NAME_LENGTH = 256
_USER_WIDTH = len(UserRecord.__struct_fields__)
_SELECT = f"SELECT {_USER.select('users')} FROM users"
_BY_TOKEN = f"""SELECT tokens.secret_sha256, {_USER.select("users")}, {_TOKEN.select("tokens")}
    FROM tokens JOIN users ON users.id = tokens.user_id
    WHERE tokens.secret_sha256 = ? AND tokens.kind = ?"""


class Users:
    """The rows of users and tokens."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    def add(self, name: str) -> UserRecord:
        """Create a user. Raises Conflict if the name is taken, BadRequest if it is not a valid name."""
        if not name.strip() or len(name) > _MAX_NAME_LENGTH or control_character(name) is not None:
            raise BadRequest(
                f"{name!r:.80} cannot be a user's name; use at most {_MAX_NAME_LENGTH} printable characters"
            )
        user = UserRecord(id=new_id(), name=name, created_on=iso(self._clock.time()))
        with self._db.transaction():
            if self.by_name(name) is not None:
                raise Conflict(f"there is a user {name!r} already")
            self._db.insert("users", _USER.pack(user))
        return user

    def get(self, user_id: str) -> UserRecord | None:
        return self._one("id", user_id)

    def by_name(self, name: str) -> UserRecord | None:
        return self._one("name", name)

    def first(self) -> str | None:
        """Id of the first user of the root; None if there is none."""
        row = self._db.row("SELECT id FROM users ORDER BY rowid LIMIT 1")
        return None if row is None else str(row[0])

    def all(self) -> list[UserRecord]:
        """All users, sorted by name."""
        return [_USER.read(row) for row in self._db.rows(f"{_SELECT} ORDER BY name")]

    def delete(self, user_id: str) -> bool:
        """Delete a user with everything they own. Returns whether the user existed.

        Raises Conflict if another user's model uses one of their datasets or models.
        """
        with self._db.transaction():
            return self._db.write("DELETE FROM users WHERE id = ?", [user_id]) > 0

    def add_token(self, user_id: str, *, kind: str, label: str, secret: str) -> TokenRecord:
        """Insert the hash of a token. Raises Conflict if the user does not exist or the secret is in use."""
        token = TokenRecord(id=new_id(), user_id=user_id, kind=kind, label=label, created_on=iso(self._clock.time()))
        values = {**_TOKEN.pack(token), "secret_sha256": _digest(secret)}
        with self._db.transaction():
            self._db.insert("tokens", values)
        return token

    def by_token(self, secret: str, *, kind: str) -> tuple[UserRecord, TokenRecord] | None:
        """The owner and metadata of a token; None if it is unknown or of another kind."""
        digest = _digest(secret)
        row = self._db.row(_BY_TOKEN, [digest, kind])
        if row is None or not hmac.compare_digest(row[0], digest):
            return None
        return _USER.read(row[1 : 1 + _USER_WIDTH]), _TOKEN.read(row[1 + _USER_WIDTH :])

    def used(self, token_id: str) -> None:
        """Set the token's time of use to now."""
        with self._db.transaction():
            self._db.write("UPDATE tokens SET last_used_on = ? WHERE id = ?", [iso(self._clock.time()), token_id])

    def tokens(self, user_id: str) -> list[TokenRecord]:
        """The user's tokens, oldest first."""
        sql = f"SELECT {_TOKEN.select('tokens')} FROM tokens WHERE user_id = ? ORDER BY created_on, id"
        return [_TOKEN.read(row) for row in self._db.rows(sql, [user_id])]

    def revoke(self, token_id: str) -> bool:
        """Delete a token. Returns whether it existed."""
        with self._db.transaction():
            return self._db.write("DELETE FROM tokens WHERE id = ?", [token_id]) > 0

    def _one(self, column: str, value: str) -> UserRecord | None:
        row = self._db.row(f"{_SELECT} WHERE {column} = ?", [value])
        return None if row is None else _USER.read(row)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
