"""A server on loopback that speaks OpenAI's chat completions and says what a test wrote down."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ChatServer(ThreadingHTTPServer):
    """Gives written replies one after the other, the last one for ever.

    A reply is a text; a number is a status, bytes are a whole body, a float is how many seconds
    nothing comes.

    Attributes:
        replies: What to say next.
        turns: Where given, what to say instead, by how often the assistant has spoken.
        by_text: Where given, what to say instead, by a text in the last message.
        usage: Tokens in and out that each reply is said to have.
        wait_s: Seconds that every reply takes.
        asked: Bodies of the requests so far.
        keys: Values of their authorization headers.
        most_at_once: Most requests that were there at the same time.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies, self.turns, self.by_text = ["{}"], None, None
        self.usage, self.wait_s = (10, 5), 0.0
        self.asked, self.keys, self.most_at_once = [], set(), 0
        self.lock = threading.Lock()
        self.open = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next_reply(self, body):
        messages = body["messages"]
        if self.turns is not None:
            return self.turns[sum(message["role"] == "assistant" for message in messages)]
        if self.by_text is not None:
            last = messages[-1]["content"]
            return next(reply for text, reply in self.by_text.items() if text in last)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append(body)
            server.keys.add(self.headers["Authorization"])
            server.open += 1
            server.most_at_once = max(server.most_at_once, server.open)
            reply = server.next_reply(body)
        time.sleep(server.wait_s)
        # Before the reply: who has it may be back before this thread goes on.
        with server.lock:
            server.open -= 1
        self._say(reply)

    def _say(self, reply):
        if isinstance(reply, float):
            time.sleep(reply)
            self.close_connection = True
            return
        status, data = 200, reply
        if isinstance(reply, int):
            # Some APIs quote the key that they refuse.
            said = f"refused {self.headers['Authorization']}"
            status, data = reply, json.dumps({"error": {"message": said}}).encode()
        elif isinstance(reply, str):
            tokens_in, tokens_out = self.server.usage
            document = {
                "choices": [{"message": {"content": reply}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out},
            }
            data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass
