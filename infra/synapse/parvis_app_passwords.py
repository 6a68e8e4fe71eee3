"""Synapse's side of Parvis: who signs in is asked of messaging, which hears of each session so that it can end it."""

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import yaml
from synapse.module_api import ModuleApi, run_in_background
from synapse.module_api.errors import SynapseError
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

LOG = logging.getLogger(__name__)
PASSWORD = "m.login.password"  # noqa: S105 (the name of a way to sign in)
PLACE = "/_synapse/client/parvis"
"""Beside the admin API, which no proxy passes on."""
Checked = tuple[str, Callable[[Any], Awaitable[None]] | None] | None


class AppPasswords:
    """Signs agents in by their app passwords, and makes messaging's bot an administrator of this homeserver."""

    @staticmethod
    def parse_config(config: dict[str, Any]) -> dict[str, Any]:
        """`registration`: the file that messaging made (`parvis messaging registration`)."""
        said = yaml.safe_load(Path(config["registration"]).read_text(encoding="utf-8"))
        return {"url": said["url"].rstrip("/"), "token": said["hs_token"], "bot": said["sender_localpart"]}

    def __init__(self, config: dict[str, Any], api: ModuleApi) -> None:
        self.url, self.token, self.api = config["url"], config["token"], api
        self.bot = f"@{config['bot']}:{api.server_name}"
        api.register_password_auth_provider_callbacks(
            auth_checkers={(PASSWORD, ("password",)): self.check}, check_3pid_auth=self.check_address
        )
        api.register_web_resource(PLACE, Standing(self))

    async def check(self, name: str, kind: str, said: dict[str, Any]) -> Checked:
        return await self.sign_in(name, said.get("password"))

    async def check_address(self, medium: str, address: str, password: str) -> Checked:
        return await self.sign_in(address, password) if medium == "email" else None

    async def sign_in(self, name: str, password: Any) -> Checked:
        """None for whom messaging does not know; when it does not answer, nobody is let in."""
        found = await self.ask("check", {"name": name, "password": password})
        if found.get("user_id") is None:
            return None

        async def note(login: Any) -> None:
            # Raising here keeps the token from whoever asked for it: no session that messaging does not know of is used.
            session = {"user_id": login["user_id"], "device_id": login["device_id"], "credential_id": found["credential_id"]}
            await self.ask("signed_in", session)

        return found["user_id"], note

    async def ask(self, what: str, body: dict[str, Any]) -> Any:
        """Raises SynapseError: anything else from `note` reaches a client as a 500; from a check, Synapse makes a 403 of either."""
        headers = {b"Authorization": [f"Bearer {self.token}".encode()]}
        try:
            return await self.api.http_client.post_json_get_json(f"{self.url}/_matrix/app/fr.parvis.v1/{what}", body, headers)
        except Exception as error:  # noqa: BLE001 (whatever Twisted calls an answer that does not come)
            LOG.warning("messaging does not answer %s: %r", what, error)
            raise SynapseError(503, "App passwords cannot be checked just now. Try again in a minute.") from None

    async def settle_bot(self) -> bool:
        """Whether the bot is there, and may keep accounts."""
        if await self.api.get_userinfo_by_id(self.bot) is None:
            return False
        if not await self.api.is_user_admin(self.bot):
            await self.api.set_user_admin(self.bot, True)
        return True


class Standing(Resource):
    """Which run of Synapse this is, as messaging asks to see whether there was a restart, which loses what was to be pushed."""

    isLeaf = True

    def __init__(self, passwords: AppPasswords) -> None:
        super().__init__()
        self.passwords, self.instance = passwords, token_hex(8)

    def render_GET(self, request: Request) -> int:  # noqa: N802 (as Twisted calls it)
        # Not ensureDeferred: it would leave the request's logging context with the reactor, and Synapse throws away the next timed call
        # that it finds it in. When that is the one that sends bodies, none is ever sent again.
        run_in_background(self.answer, request)
        return NOT_DONE_YET

    async def answer(self, request: Request) -> None:
        try:
            said, status = {"instance": self.instance, "bot": await self.passwords.settle_bot()}, 200
        except Exception as error:  # noqa: BLE001 (an answer that never comes would be worse)
            said, status = {"error": repr(error)}, 500
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", b"application/json")
        request.write(json.dumps(said).encode())
        request.finish()
