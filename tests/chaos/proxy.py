"""A proxy between Redis and everyone else that can cut, delay and silence connections."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 64 * 1024


class FaultProxy:
    """Forwards TCP to one port of this machine. Its faults may be changed at any time.

    It runs in a thread with an event loop of its own.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.delay_s = 0.0
        """Held back by so much is every chunk, in each direction."""
        self.refusing = False
        """New connections are closed at once."""
        self.port = 0
        self._silent = False
        self._generation = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop
        self._ending = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="fault-proxy", daemon=True
        )
        self._thread.start()
        self._listening.wait(10)

    def cut(self) -> None:
        """Close every connection, as a router does that restarts."""
        asyncio.run_coroutine_threadsafe(self._close_all(), self._loop).result(10)

    def go_silent(self) -> None:
        """Go half-open: take all bytes and pass none on, on new connections too.

        What was open now stays dead after `speak`, as after a machine's loss behind a firewall.
        """
        self._generation += 1
        self._silent = True

    def speak(self) -> None:
        """New connections work again."""
        self._silent = False

    def heal(self) -> None:
        """No fault any more."""
        self.delay_s, self.refusing = 0.0, False
        self.speak()

    def close(self) -> None:
        """End the proxy and its connections."""
        self.refusing = True
        self.cut()
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._ending.wait()
        server.close()
        while self._open:
            await asyncio.sleep(0.01)

    async def _close_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.transport.abort()
            return
        born = self._generation
        both = {writer, up_writer}
        self._open |= both
        pumps = [
            asyncio.ensure_future(self._pump(reader, up_writer, born)),
            asyncio.ensure_future(self._pump(up_reader, writer, born)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            each.transport.abort()
        await asyncio.wait(pumps)
        self._open -= both

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, born: int
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self._silent or born != self._generation:
                    continue
                sink.write(chunk)
                await sink.drain()


@contextmanager
def fault_proxy(upstream_port: int) -> Iterator[FaultProxy]:
    """A proxy, for as long as this context lasts."""
    proxy = FaultProxy(upstream_port)
    try:
        yield proxy
    finally:
        proxy.close()
