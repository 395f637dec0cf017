"""From wx.login's code to an openid: auth.code2Session, in threads, never longer than its time limit.

Source: WeChat mini-programs, server API, auth.code2Session. The secret stands in the address of the call, so no
error of `requests` is ever logged or shown as it is: its text would tell the address.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from kiosk.settings import MiniProgramSettings

if TYPE_CHECKING:
    import requests

PATH = "/sns/jscode2session"
THREADS = 4  # as many as may log in within the same second at one machine
TRIES = 2  # "busy" (-1) is to be asked again a little later; a code that went unanswered may still be good
PAUSE_SECONDS = 0.3
CONNECT_SECONDS = 1.5
READ_SECONDS = 2.0
TOTAL_SECONDS = 5.0  # a person looks at a spinning wheel; waiting for a thread is in it
MAX_ANSWER_BYTES = 16 * 1024  # the longest known answer is below 1 KiB
CODE = re.compile(r"[\x21-\x7e]{1,256}")  # wx.login's codes have 32 characters today; their form is not promised
OPENID = re.compile(r"[A-Za-z0-9_-]{1,128}")

SESSION_KEY_SECONDS = 7200  # its life is WeChat's secret; a new log-in brings a new one
SESSION_KEYS = 10_000  # of the latest customers; 1 MB


class LoginRefused(Exception):
    """No openid. `code`: bad_code (log in again), too_often, blocked_user, busy (try again) or misconfigured.

    The text is for the log; it holds no secret.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


# errcode -> what it means for the customer
_REFUSALS = {
    40029: "bad_code",
    40163: "bad_code",
    45011: "too_often",
    40226: "blocked_user",
    -1: "busy",
    40013: "misconfigured",
    40125: "misconfigured",
}


class SessionKeys:
    """What WeChat shares with this server about each customer: it never leaves this process, and goes by itself."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def remember(self, openid: str, session_key: str) -> None:
        """Keep a key for `SESSION_KEY_SECONDS`; the oldest go first when there are too many."""
        self._keys.pop(openid, None)
        self._keys[openid] = (session_key, time.monotonic() + SESSION_KEY_SECONDS)
        while len(self._keys) > SESSION_KEYS:
            self._keys.popitem(last=False)

    def get(self, openid: str) -> str | None:
        """The customer's key, while it is fresh."""
        key, until = self._keys.get(openid, ("", 0.0))
        if time.monotonic() < until:
            return key
        self._keys.pop(openid, None)
        return None

    def forget(self, openid: str) -> None:
        """The customer has logged out."""
        self._keys.pop(openid, None)


class Login:
    """The line to WeChat's mini-program server."""

    def __init__(self, settings: MiniProgramSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(THREADS, "wx-login")
        self._local = threading.local()
        self.session_keys = SessionKeys()

    async def openid(self, code: str) -> str:
        """The customer behind a code of wx.login. Raises `LoginRefused`."""
        if not CODE.fullmatch(code):
            raise LoginRefused("bad_code", "it is no code of wx.login")
        deadline = time.monotonic() + TOTAL_SECONDS
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, code, deadline)
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                answer = await work
        except TimeoutError:
            raise LoginRefused("busy", f"no answer within {TOTAL_SECONDS:g} s") from None
        refused = answer.get("errcode") or 0
        if refused:
            code_word = _REFUSALS.get(refused, "busy") if isinstance(refused, int) else "busy"
            message = str(answer.get("errmsg", ""))[:200]
            raise LoginRefused(code_word, f"WeChat answered errcode {refused}: {message!r}")
        openid, session_key = answer.get("openid"), answer.get("session_key")
        if not isinstance(openid, str) or not OPENID.fullmatch(openid) or not isinstance(session_key, str):
            raise LoginRefused("busy", "WeChat's answer names no openid")
        self.session_keys.remember(openid, session_key)
        return openid

    async def aclose(self) -> None:
        """Let calls under way end."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    def _ask(self, code: str, deadline: float) -> Mapping[str, Any]:
        """Ask, and ask again once where that can help."""
        answer: Mapping[str, Any] = {}
        for tries_left in reversed(range(TRIES)):
            answer = self._ask_once(code, deadline)
            if answer.get("errcode") != -1 or not tries_left or time.monotonic() + PAUSE_SECONDS >= deadline:
                break
            time.sleep(PAUSE_SECONDS)
        return answer

    def _ask_once(self, code: str, deadline: float) -> Mapping[str, Any]:
        """The answer; errcode -1 stands for none that could be understood."""
        import requests  # noqa: PLC0415 - needed at the first log-in, not at the first picture

        settings = self._settings
        question = {
            "appid": settings.app_id,
            "secret": settings.app_secret,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        left = deadline - time.monotonic()
        if left <= 0:
            return {"errcode": -1, "errmsg": "there was no time left to ask"}
        try:
            with self._session().get(
                settings.api_base + PATH,
                params=question,
                timeout=(min(CONNECT_SECONDS, left), min(READ_SECONDS, left)),
                headers={"Accept-Encoding": "identity", "User-Agent": "kiosk"},
                allow_redirects=False,
                stream=True,
            ) as response:
                status, body = response.status_code, b""
                while len(body) <= MAX_ANSWER_BYTES and time.monotonic() < deadline:
                    piece = response.raw.read1(MAX_ANSWER_BYTES + 1)
                    if not piece:
                        break
                    body += piece
        except (requests.RequestException, OSError) as error:
            return {"errcode": -1, "errmsg": f"{type(error).__name__} on the way to WeChat"}
        except Exception as error:  # noqa: BLE001 - urllib3's own errors while reading; their text may tell the secret
            return {"errcode": -1, "errmsg": f"{type(error).__name__} while reading WeChat's answer"}
        if status != 200 or len(body) > MAX_ANSWER_BYTES:
            return {"errcode": -1, "errmsg": f"status {status}, {len(body)} bytes"}
        try:  # the Content-Type may say text/plain
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        return answer if isinstance(answer, dict) else {"errcode": -1, "errmsg": "WeChat's answer is no JSON object"}

    def _session(self) -> requests.Session:
        """One for each thread: requests does not promise that sessions may be shared."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            import requests  # noqa: PLC0415 - see above

            session = self._local.session = requests.Session()
        return session
