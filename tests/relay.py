"""`relay.py LISTEN TARGET`: a socket in front of a unix socket; killing it cuts all connections.

LISTEN is the path of another unix socket, or `tcp`: it prints which port on loopback.
"""

from __future__ import annotations

import asyncio
import sys


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(65536):
        sink.write(chunk)
        await sink.drain()
    sink.write_eof()


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    target_reader, target_writer = await asyncio.open_unix_connection(sys.argv[2])
    await asyncio.gather(copy(reader, target_writer), copy(target_reader, writer))


async def main() -> None:
    if sys.argv[1] == "tcp":
        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
    else:
        server = await asyncio.start_unix_server(relay, sys.argv[1])
    await server.serve_forever()


asyncio.run(main())
