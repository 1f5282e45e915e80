"""`relay.py LISTEN TARGET`: a unix socket in front of another; killing it cuts all connections."""

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
    await (await asyncio.start_unix_server(relay, sys.argv[1])).serve_forever()


asyncio.run(main())
