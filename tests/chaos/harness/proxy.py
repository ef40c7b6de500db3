"""A TCP proxy on loopback that can be told to misbehave: what a network does on a bad day."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

_CHUNK = 256 * 1024
#: Closed so, the other side sees a reset, and not an end.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes connections to ``target`` on.

    ``cut`` resets all and refuses new ones; ``stall`` holds every byte, as lost packets do;
    ``drop_replies`` lets requests through and throws the answers away, with ``to`` those alone of
    connections on which it comes by in a request. ``heal`` ends each of them: what a dropped reply
    belonged to is reset. ``strand`` leaves the connections that there are half
    open, for good: what is sent goes nowhere, and nothing says so; new ones are passed on.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._stranded: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        #: What a request has in it whose reply is dropped; nothing is where it is None.
        self._drops: bytes | None = None
        #: The ends of connections on which it came by.
        self._unanswered: set[asyncio.StreamWriter] = set()
        self.dropped = 0
        #: The beginnings of the last replies that were dropped.
        self.unheard: deque[bytes] = deque(maxlen=5)
        self._server = self._call(self._listen(port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, port: int) -> asyncio.Server:
        self._flowing = asyncio.Event()
        self._flowing.set()
        return await asyncio.start_server(self._accept, "127.0.0.1", port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            _reset(writer)
            return
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        both = {writer, onward[1]}
        self._writers |= both
        try:
            await asyncio.gather(
                self._ask(reader, onward[1], writer),
                self._answer(onward[0], writer),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers -= both
            self._stranded -= both
            self._unanswered -= both
            for one in both:
                _reset(one)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_CHUNK):
            await self._flowing.wait()
            if writer in self._stranded:
                continue
            if self._drops is not None and self._drops in data:
                self._unanswered.add(back)
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._flowing.wait()
            if writer in self._stranded:
                continue
            if self._drops == b"" or writer in self._unanswered:
                self.dropped += 1
                self.unheard.append(data[:300])
                continue
            writer.write(data)
            await writer.drain()
        if writer not in self._stranded:
            with suppress(OSError):
                writer.write_eof()

    def cut(self) -> None:
        self._call(self._cut())

    async def _cut(self) -> None:
        self._is_cut = True
        self._reset_all()

    def stall(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def drop_replies(self, to: bytes = b"") -> None:
        self._drops = to

    def strand(self) -> int:
        """Returns how many connections it were."""

        async def strand() -> int:
            self._stranded |= self._writers
            return len(self._writers) // 2

        return int(self._call(strand()))

    def heal(self) -> None:
        self._call(self._heal())

    async def _heal(self) -> None:
        if self._drops is not None:
            self._reset_all()
        self._is_cut, self._drops = False, None
        self._flowing.set()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    def close(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        self._server.close()
        self._reset_all()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
