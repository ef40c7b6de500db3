"""An OpenID provider on loopback: a token endpoint for client credentials, and its keys."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Gives ``clients`` (id to secret) tokens that name them as their subject."""

    def __init__(self, clients: dict[str, str]) -> None:
        self.clients = clients
        #: Scopes that were asked for.
        self.scopes: list[str] = []
        self._key = rsa.generate_private_key(65537, 2048)
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, provider.keys())

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                self._answer(*provider.token(self.headers.get("Authorization", ""), form))

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    @property
    def keys_url(self) -> str:
        return f"{self.url}/keys"

    def keys(self) -> dict[str, Any]:
        public = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig"}
        for name, number in (("n", public.n), ("e", public.e)):
            key[name] = _encoded(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        return {"keys": [key]}

    def token(self, header: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        client, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        if form.get("grant_type") != ["client_credentials"] or self.clients.get(client) != secret:
            return 401, {"error": "invalid_client", "error_description": "Invalid credentials"}
        self.scopes += form.get("scope", [])
        now = int(time.time())
        claims = {"iss": self.url, "aud": "kafka", "sub": client, "iat": now, "exp": now + 300}
        head = {"alg": "RS256", "typ": "JWT", "kid": "1"}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        token = f"{signed}.{_encoded(signature)}"
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 300}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
