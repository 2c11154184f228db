"""A Bot API of a test, as Telegram's behaves: it checks what it is sent, and answers what the test
wants.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
BOT = {"id": 110201543, "is_bot": True, "username": "ChasClaudeBot"}
_TAG = re.compile(r"</?(?:b|i|pre|code)>")

Answer = Callable[[Any], None]


class FakeTelegram:
    """`sent` are the calls that were answered with yes, `calls` all of them. What is put into
    `answers` is answered to the next calls that are no polls.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.raw: list[bytes] = []
        self.answers: deque[Answer] = deque()
        self.updates: list[dict[str, Any]] = []
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.privacy_is_off, self.webhook = False, ""
        self._next = 1_000
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake._answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def texts(self, chat: int | None = None) -> list[str]:
        """The texts of the messages that there are, as people see them, in order."""
        return [
            unescape(_TAG.sub("", message["text"]))
            for (where, _), message in self.messages.items()
            if chat in (None, where)
        ]

    def said(self, method: str = "sendMessage") -> list[dict[str, Any]]:
        """What a method was called with, where it was answered with yes."""
        return [fields for name, fields in self.sent if name == method]

    # -- what people do --------------------------------------------------------------------------

    def message(self, text: str, user: dict[str, Any], chat: int = -100, **more: Any) -> None:
        """Somebody writes."""
        kind = "supergroup" if chat < 0 else "private"
        self._next += 1
        fields = {"message_id": self._next, "from": user, "chat": {"id": chat, "type": kind}}
        self._update("message", {**fields, "date": 1, "text": text, **more})

    def press(self, button: dict[str, Any], user: dict[str, Any], message: Any) -> None:
        """Somebody presses a button under a message (chat, id)."""
        where = {"message_id": message[1], "chat": {"id": message[0], "type": "supergroup"}}
        fields = {"id": f"press{self._next}", "from": user, "message": where}
        self._update("callback_query", {**fields, "data": button["callback_data"]})

    def _update(self, kind: str, fields: dict[str, Any]) -> None:
        self._next += 1
        self.updates.append({"update_id": self._next, kind: fields})

    # -- answers ---------------------------------------------------------------------------------

    def _answer(self, request: Any) -> None:
        data = request.rfile.read(int(request.headers["Content-Length"]))
        found = re.fullmatch(r"/bot([^/]+)/(\w+)", request.path)
        assert found is not None, request.path
        if found[1] != TOKEN:
            return reply(401, description="Unauthorized")(request)
        method, fields = found[2], json.loads(data)
        self.calls.append((method, fields))
        self.raw.append(data)
        if method != "getUpdates" and self.answers:
            answer = self.answers.popleft()
            if answer is not yes:
                return answer(request)
        wrong = self._wrong(method, fields)
        if wrong:
            return reply(400, description=f"Bad Request: {wrong}")(request)
        self.sent.append((method, fields))
        return _ok(request, getattr(self, f"_{method}")(fields))

    def _wrong(self, method: str, fields: dict[str, Any]) -> str:
        text = fields.get("text", "x")
        if fields.get("parse_mode") == "HTML":
            bare = _TAG.sub("", text)
            if "<" in bare or ">" in bare or re.search(r"&(?!lt;|gt;|amp;)", bare):
                return "can't parse entities"
            text = unescape(bare)
        if not 1 <= len(text.encode("utf-16-le")) // 2 <= 4_096:
            return "message is too long" if text else "message text is empty"
        for row in fields.get("reply_markup", {}).get("inline_keyboard", []):
            for button in row:
                if not 1 <= len(button["callback_data"].encode()) <= 64:
                    return "BUTTON_DATA_INVALID"
        if method == "editMessageText":
            there = self.messages.get((fields["chat_id"], fields["message_id"]))
            if there is None:
                return "message to edit not found"
            if there["text"] == fields["text"]:
                return "message is not modified"
        return ""

    def _sendMessage(self, fields: dict[str, Any]) -> Any:
        self._next += 1
        self.messages[fields["chat_id"], self._next] = fields
        return {"message_id": self._next, "chat": {"id": fields["chat_id"]}}

    def _editMessageText(self, fields: dict[str, Any]) -> Any:
        self.messages[fields["chat_id"], fields["message_id"]] |= {"text": fields["text"]}
        return {"message_id": fields["message_id"]}

    def _editMessageReplyMarkup(self, fields: dict[str, Any]) -> Any:
        self.messages[fields["chat_id"], fields["message_id"]].pop("reply_markup", None)
        return {"message_id": fields["message_id"]}

    def _answerCallbackQuery(self, fields: dict[str, Any]) -> Any:
        assert len(fields["text"]) <= 200
        return True

    def _getMe(self, fields: dict[str, Any]) -> Any:
        return {**BOT, "can_read_all_group_messages": self.privacy_is_off}

    def _getWebhookInfo(self, fields: dict[str, Any]) -> Any:
        return {"url": self.webhook}

    def _getUpdates(self, fields: dict[str, Any]) -> Any:
        assert fields["allowed_updates"] == ["message", "callback_query"]
        # Telegram waits for `timeout` seconds; some moments are enough here.
        for _ in range(20 if fields["timeout"] else 0):
            if any(one["update_id"] >= fields["offset"] for one in self.updates):
                break
            time.sleep(0.05)
        self.updates = [one for one in self.updates if one["update_id"] >= fields["offset"]]
        return self.updates[: fields["limit"]]


def yes(request: Any) -> None:
    """In `answers`: this call is answered as it should be."""
    raise NotImplementedError


def reply(status: int, **fields: Any) -> Answer:
    """A refusal, as the Bot API says it."""

    def answer(request: Any) -> None:
        _write(request, status, {"ok": False, "error_code": status, **fields})

    return answer


def hang_up(request: Any) -> None:
    """No answer: the connection ends."""
    request.close_connection = True
    request.connection.close()


def bad_json(request: Any) -> None:
    """An answer that is none."""
    data = b"<html>hello</html>"
    request.send_response(200)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)


def _ok(request: Any, result: Any) -> None:
    _write(request, 200, {"ok": True, "result": result})


def _write(request: Any, status: int, body: Any) -> None:
    data = json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)
