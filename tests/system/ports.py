#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# ports.py ADDRESS PID [TEST...]: the checks of ports.sh, on the worker at ADDRESS whose process is PID
import base64
import hashlib
import http.client
import os
import socket
import threading
import time

from session_client import (ADDRESS, Session, call, connect, descriptors, expect, main, memory, raw, until)

# Answers with what it got; /down gives bytes, POST counts and hashes them, /ws is an echo over a WebSocket.
SERVER = r'''
import base64, hashlib, http.server, socket, struct, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            size = head[1] & 127
            if size == 126:
                size = struct.unpack(">H", self.rfile.read(2))[0]
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            self.wfile.write(bytes([head[0]]) + (bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)) + data)
            self.wfile.flush()

    def do_GET(self):
        if self.path == "/ws":
            return self.websocket()
        if self.path.startswith("/down/"):
            size = int(self.path[6:])
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for _ in range(size >> 20):
                self.wfile.write(b"x" * (1 << 20))
            return
        if self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(5):
                self.wfile.write(b"3\r\nab%d\r\n" % i)
            self.wfile.write(b"0\r\nX-Trailer: no\r\n\r\n")
            return
        if self.path == "/cookies":
            return self.answer(b"", 302, [("Location", "/next?a=b"), ("Set-Cookie", "a=b; Domain=x.org; Path=/deep;HttpOnly"),
                ("Set-Cookie", "c=d"), ("Strict-Transport-Security", "max-age=9"), ("Clear-Site-Data", '"*"'),
                ("WWW-Authenticate", "Basic realm=x"), ("X-Sandboxd-Load", "1 2 3 4"), ("X-Own", "kept")])
        if self.path == "/elsewhere":
            return self.answer(b"", 302, [("Location", "https://example.org/x")])
        if self.path == "/nothing":
            self.send_response(204)
            self.end_headers()
            return
        self.answer((self.command + " " + self.path + "\n" + str(self.headers)).encode())

    do_HEAD = do_DELETE = do_PATCH = do_GET

    def do_POST(self):
        digest, n = hashlib.sha256(), 0
        if self.headers.get("Transfer-Encoding"):
            while size := int(self.rfile.readline(), 16):
                digest.update(self.rfile.read(size))
                n += size
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers["Content-Length"])
            while left:
                piece = self.rfile.read(min(left, 1 << 16))
                digest.update(piece)
                n += len(piece)
                left -= len(piece)
        self.answer(f"{n} {digest.hexdigest()}".encode())

    do_PUT = do_POST

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 200

Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
'''

# Sends the bytes of a file to whoever connects, and then holds the connection or closes it.
HOSTILE = r'''
import socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
def serve(c):
    what = sys.argv[2]
    try:
        if what != "at once":
            c.recv(65536)
        if what == "endless head":
            c.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                c.sendall(b"X-A: " + b"a" * 1000 + b"\r\n")
        elif what == "endless line":
            c.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
            while True:
                c.sendall(b"a" * 65536)
        elif what == "endless interim":
            while True:
                c.sendall(b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n" * 100)
        elif what == "endless body":
            c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                c.sendall(b"a" * 65536)
        elif what == "endless chunk size":
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                c.sendall(b"0" * 65536)
        elif what == "endless trailer":
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
            while True:
                c.sendall(b"X-A: " + b"a" * 1000 + b"\r\n")
        elif what != "at once":
            c.sendall(sys.argv[2].encode("latin-1").decode("unicode_escape").encode("latin-1"))
    except OSError:
        pass
    c.close()
held = []
while sys.argv[2] == "hold":
    held.append(listener.accept()[0])
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
'''


def start(session, port, *args, program=SERVER, name="server.py"):
    session.put(name, program.encode())
    words = " ".join("'" + a + "'" for a in args)
    session.run(f"exec python3 {name} {words}", background=True, timeout=3600)
    address = "::1" if "::1" in args else "127.0.0.1"
    probe = f"import socket; socket.create_connection((\"{address}\", {port}), 5)"
    until(lambda: session.run(f"python3 -c '{probe}'")["exit_code"] == 0, f"a server on port {port}")


def server(session, port=3000, address="127.0.0.1"):
    start(session, port, address, str(port))
    return f"{session.path}/ports/{port}"


def hostile(session, port, what):
    start(session, port, str(port), what, program=HOSTILE, name=f"hostile{port}.py")
    return f"{session.path}/ports/{port}"


def test_requests():
    with Session() as s:
        p = server(s)
        status, headers, body = raw("GET", p + "/a%20b/%2e%2e/c?d=e&f", headers={
            "X-API-Key": "secret", "Authorization": "Bearer secret", "X-Forwarded-For": "10.1.2.3", "Cookie": "k=v",
            "X-Own": "kept", "Connection": "keep-alive, X-Hop", "X-Hop": "gone"})
        text = body.decode()
        expect(200, status, text)
        assert text.startswith("GET /a%20b/%2e%2e/c?d=e&f\n"), text
        for gone in ("secret", "10.1.2.3", "X-Hop"):
            assert gone not in text, text
        for kept in ("Host: localhost:3000", "Cookie: k=v", "X-Own: kept", "X-Forwarded-Prefix: " + p):
            assert kept in text, text
        assert headers["Content-Security-Policy"].startswith("sandbox "), headers
        assert raw("GET", p)[2].startswith(b"GET /\n")
        assert raw("GET", p + "?a")[2].startswith(b"GET /?a\n")
        assert raw("DELETE", p + "/x")[2].startswith(b"DELETE /x\n")
        status, headers, body = raw("HEAD", p + "/x")
        expect((200, b""), (status, body))
        assert int(headers["Content-Length"]) > 50
        expect((200, b"ab0ab1ab2ab3ab4"), (lambda a: (a[0], a[2]))(raw("GET", p + "/chunks")))
        expect(204, raw("GET", p + "/nothing")[0])
        for method in ("TRACE", "CONNECT", "lower"):
            assert raw(method, p + "/")[0] in (400, 404, 405), method
        status, headers, _ = raw("GET", p + "/cookies")
        expect(302, status)
        expect(p + "/next?a=b", headers["Location"])
        expect([f"a=b; HttpOnly; Path={p}/deep", f"c=d; Path={p}/"], headers.get_all("Set-Cookie"))
        for name in ("Strict-Transport-Security", "Clear-Site-Data", "WWW-Authenticate", "X-Sandboxd-Load"):
            expect(None, headers[name], name)
        expect("kept", headers["X-Own"])
        expect("https://example.org/x", raw("GET", p + "/elsewhere")[1]["Location"])


def test_many_headers():
    """As many as are passed on: the policy that keeps its pages apart does not give way to them."""
    http.client._MAXHEADERS = 200
    many = "".join(f"X-{i}: a\\r\\n" for i in range(96))
    with Session() as s:
        status, headers, body = raw("GET", hostile(s, 3000, f"HTTP/1.1 200 OK\\r\\n{many}\\r\\nabc") + "/")
        expect((200, b"abc"), (status, body))
        assert headers["Content-Security-Policy"].startswith("sandbox "), headers


def test_refusals():
    with Session() as s:
        for port in ("03000", "0", "65536", "99999999999", "-1", "3000x", "+80", "%33000", "0x50", "02280"):
            status, answer = call("GET", f"{s.path}/ports/{port}/")
            assert (status, answer["field"]) in ((422, "port"), (400, "path")), (port, status, answer)
        status, answer = call("GET", s.path + "/ports/3000/")
        expect((502, "port"), (status, answer["field"]), answer)
        expect(404, call("GET", "/v1/sessions/nobody/ports/3000/")[0])
        expect(404, call("GET", s.path + "/ports")[0])
    expect(410, call("GET", s.path + "/ports/3000/")[0])


def test_ipv6():
    with Session() as s:
        p = server(s, 4000, "::1")
        expect(200, raw("GET", p + "/")[0])
        expect(200, raw("POST", p + "/", b"abc")[0])


def test_sizes():
    size = 64 << 20
    data = os.urandom(1 << 20) * (size >> 20)
    wanted = f"{size} {hashlib.sha256(data).hexdigest()}".encode()
    with Session() as s:
        p = server(s)
        raw("GET", p + "/")
        before = memory()
        expect((200, wanted), (lambda a: (a[0], a[2]))(raw("POST", p + "/", data)))
        pieces = (data[i:i + 100000] for i in range(0, size, 100000))
        c = connect()
        c.request("PUT", p + "/", pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        expect(wanted, c.getresponse().read())
        c.close()
        expect(size, len(raw("GET", f"{p}/down/{size}")[2]))
        grown = memory() - before
        assert grown < 8192, f"the worker grew by {grown} KiB"


def test_slow_client():
    """Holds the server up, not the worker's memory."""
    with Session() as s:
        p = server(s)
        raw("GET", p + "/")
        before = memory()
        c = connect()
        c.request("GET", f"{p}/down/{256 << 20}")
        r = c.getresponse()
        time.sleep(1)
        assert memory() - before < 4096, memory() - before
        expect(200, raw("GET", p + "/")[0])
        expect(256 << 20, sum(len(piece) for piece in iter(lambda: r.read(1 << 20), b"")))
        c.close()


def upgrade(path, protocol, headers=""):
    host, port = ADDRESS.split(":")
    sock = socket.create_connection((host, int(port)), 30)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{headers}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        assert piece, head
        head += piece
    head, rest = head.split(b"\r\n\r\n", 1)
    return sock, head.decode(), rest


def test_websocket():
    key = base64.b64encode(os.urandom(16)).decode()
    with Session() as s:
        p = server(s)
        sock, head, rest = upgrade(p + "/ws", "websocket", f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n")
        assert head.startswith("HTTP/1.1 101 "), head
        wanted = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        assert f"Sec-WebSocket-Accept: {wanted}" in head, head
        for size in (5, 100, 1000, 60000):
            data = os.urandom(size)
            sock.sendall(b"\x82" + (bytes([128 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")) +
                         b"\0\0\0\0" + data)
            wanted = b"\x82" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")) + data
            while len(rest) < len(wanted):
                piece = sock.recv(65536)
                assert piece
                rest += piece
            expect(wanted, rest)
            rest = b""
        # a server that does not change the protocol
        other, head, _ = upgrade(p + "/plain", "websocket")
        assert head.startswith("HTTP/1.1 200 "), head
        other.close()
        before = descriptors()
        call("DELETE", s.path)
        sock.settimeout(10)
        expect(b"", sock.recv(100), "the end of the session is the end of it")
        sock.close()
        until(lambda: descriptors() < before, "its descriptors are closed")


def test_raw():
    """Any protocol over an upgraded connection."""
    with Session() as s:
        p = server(s)
        sock, head, rest = upgrade(p + "/", "sandboxd-tcp")
        assert head.startswith("HTTP/1.1 101 ") and "sandboxd-tcp" in head, head
        sock.sendall(b"GET /raw HTTP/1.0\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65536):
            rest += piece
        assert b"GET /raw\n" in rest, rest
        sock.close()
        sock, head, rest = upgrade(f"{s.path}/ports/3001/", "sandboxd-tcp")
        assert head.startswith("HTTP/1.1 502 "), head
        sock.close()
        size = 32 << 20
        sock, head, rest = upgrade(p + "/", "sandboxd-tcp")
        sock.sendall(f"GET /down/{size} HTTP/1.0\r\nConnection: close\r\n\r\n".encode())
        n = len(rest)
        while piece := sock.recv(1 << 20):
            n += len(piece)
        assert size < n < size + 1000, n
        sock.close()


def test_hostile():
    """Whatever a server says, the client gets an error or a broken answer, and the worker goes on."""
    refused = {
        "at once": (502,),
        "": (502,),
        "garbage\\r\\n\\r\\n": (502,),
        "\\x00\\x01\\x02": (502,),
        "HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\nhalf": (502,),
        "HTTP/1.1 200 OK\\r\\nContent-Length: -5\\r\\n\\r\\nhalf": (502, 200),
        "HTTP/1.1 200 OK\\r\\nContent-Length: 99999999999999999999999\\r\\n\\r\\nhalf": (502, 200, None),
        "HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nContent-Length: 4\\r\\n\\r\\nhalf": (502, 200),
        "HTTP/1.1 200 OK\\r\\nX A: b\\r\\n\\r\\nbody": (502,),
        "HTTP/1.1 200 OK\\r\\nX-A: a\\x01b\\r\\n\\r\\nbody": (502,),
        "HTTP/1.1 999 Odd\\r\\n\\r\\nbody": (502,),
        "HTTP/1.1 101 Switching\\r\\nUpgrade: x\\r\\nConnection: Upgrade\\r\\n\\r\\nbody": (502,),
        "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n": (502, None),
        "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nab": (None,),
        "endless head": (502,),
        "endless line": (502,),
        "endless chunk size": (502, None),
    }
    with Session(memory_limit="1g") as s:
        before = memory()
        for i, (what, wanted) in enumerate(refused.items()):
            p = hostile(s, 5000 + i, what)
            c = connect(30)
            try:
                c.request("GET", p + "/")
                r = c.getresponse()
                got = r.status
                r.read()
            except (http.client.HTTPException, ConnectionError):
                got = None
            c.close()
            assert got in wanted, (what, got, wanted)
            expect(200, call("GET", s.path)[0])
        # these go on for as long as the client wants to
        for i, what in enumerate(("endless interim", "endless body", "endless trailer")):
            p = hostile(s, 5100 + i, what)
            c = connect(2)
            try:
                c.request("GET", p + "/")
                r = c.getresponse()
                end = time.monotonic() + 2
                while time.monotonic() < end and r.read(1 << 20):
                    pass
            except (OSError, http.client.HTTPException):
                pass
            c.close()
            expect(200, call("GET", s.path)[0])
        assert memory() - before < 8192, memory() - before


def test_ends():
    """What ends in the middle leaves nothing behind."""
    with Session() as s:
        p = server(s)
        raw("GET", p + "/")
        before = descriptors()
        clients = []
        for _ in range(20):
            c = connect()
            c.request("GET", f"{p}/down/{64 << 20}")
            c.getresponse().read(1000)
            clients.append(c)
        for c in clients[:10]:
            c.close()
        call("DELETE", s.path)
        for c in clients[10:]:
            c.close()
    until(lambda: descriptors() <= before, "descriptors are closed")


def test_limit():
    with Session() as s:
        p = hostile(s, 3000, "hold")
        socks = [upgrade(p + "/", "sandboxd-tcp") for _ in range(128)]
        assert all(head.startswith("HTTP/1.1 101 ") for _, head, _ in socks)
        status, answer = call("GET", p + "/")
        expect((429, "port"), (status, answer["field"]), answer)
        for sock, _, _ in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        q = server(s, 3001)
        until(lambda: raw("GET", q + "/")[0] == 200, "there is room again")


def test_paused():
    with Session() as s:
        p = server(s)
        status, answer = call("POST", s.path + "/pause")
        if status == 409:
            return  # no control groups here
        expect("paused", answer["state"])
        expect(200, raw("GET", p + "/")[0])
        expect("running", call("GET", s.path)[1]["state"])


if __name__ == "__main__":
    main([test_requests, test_many_headers, test_refusals, test_ipv6, test_sizes, test_slow_client, test_websocket, test_raw,
          test_hostile, test_ends, test_limit, test_paused])
