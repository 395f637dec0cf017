"""What a browser without a screen, or a script, sends to the technician's listener: real HTTP."""

from __future__ import annotations

import json
import re
from typing import Any

from scenario_kit import API_TOKEN, Bench
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

PASSWORD = "rain-on-the-tin-roof"
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self, here: Bench) -> None:
        self.here = here
        self.base = f"http://127.0.0.1:{here.settings.web.listen.port}"
        self.cookies: dict[str, str] = {}

    async def send(
        self, method: str, path: str, body: str | bytes | None = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        sent = dict(headers or {})
        if self.cookies and "Authorization" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await AsyncHTTPClient().fetch(
            HTTPRequest(
                self.base + path,
                method=method,
                headers=sent,
                body=(body or "") if method == "POST" else None,
                follow_redirects=False,
                request_timeout=10,
            ),
            raise_error=False,
        )
        for cookie in answer.headers.get_list("Set-Cookie"):
            name, _, rest = cookie.partition("=")
            self.cookies[name] = rest.split(";")[0]
        return answer

    async def form_token(self) -> str:
        """The anti-forgery token in the login form."""
        page = (await self.send("GET", "/login")).body.decode()
        found = re.search(r'name="_xsrf" value="([^"]+)"', page)
        assert found is not None
        return found[1]

    async def log_in(self, password: str = PASSWORD) -> HTTPResponse:
        return await self.send("POST", "/login", f"_xsrf={await self.form_token()}&password={password}")

    async def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """As a script does it, with the token."""
        answer = await self.send(method, path, json.dumps(body) if body is not None else None, BEARER)
        return answer.code, json.loads(answer.body)
