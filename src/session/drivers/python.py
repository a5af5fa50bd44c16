# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs pieces of Python code in one namespace and tells the results; see driver.h. Standard input is the socket.
import _ast
import _signal
import _thread
import builtins
import os
import select
import sys


def driver():
    channel = os.dup(0)  # closed in programs that are started
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    pid = os.getpid()
    main = _thread.get_ident()
    lock = _thread.allocate_lock()
    module = type(sys)("__main__")
    module.__builtins__ = builtins
    namespace = module.__dict__
    namespace["__name__"] = "__main__"
    sys.modules["__main__"] = module
    sources = {}
    state = {"runs": 0, "running": False, "sending": False, "signalled": False, "results": 0, "taken": 0}
    user_handler = _signal.default_int_handler
    loop = None

    def on_interrupt(number, frame):
        # half a frame must not be left in the socket
        if state["sending"]:
            state["signalled"] = True
        elif state["running"]:
            user_handler(number, frame)

    def signalled():
        if state["signalled"]:
            state["signalled"] = False
            on_interrupt(_signal.SIGINT, None)

    def write(data):
        while data:
            data = data[os.write(channel, data):]

    def send(*frames):
        """Each frame a word and its bytes or text."""
        data = b"".join(
            b"%s %d\n%s" % (word.encode(), len(content), content)
            for word, content in (
                (word, content if isinstance(content, (bytes, bytearray, memoryview))
                 else str(content).encode("utf-8", "backslashreplace"))
                for word, content in frames))
        if os.getpid() != pid:
            return
        with lock:
            in_main = _thread.get_ident() == main
            if in_main:
                state["sending"] = True
            try:
                write(memoryview(data))
            finally:
                if in_main:
                    state["sending"] = False
        if in_main:
            signalled()

    def flush():
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass

    kinds = {
        "text/plain": "text",
        "text/html": "html",
        "text/markdown": "markdown",
        "text/latex": "latex",
        "image/svg+xml": "svg",
        "application/javascript": "javascript",
        "application/json": "json",
        "image/png": "png",
        "image/jpeg": "jpeg",
    }
    methods = {
        "_repr_html_": "html",
        "_repr_markdown_": "markdown",
        "_repr_latex_": "latex",
        "_repr_svg_": "svg",
        "_repr_javascript_": "javascript",
        "_repr_json_": "json",
        "_repr_png_": "png",
        "_repr_jpeg_": "jpeg",
    }

    def encode(kind, content):
        """Bytes or text of one form of a result, or None."""
        if isinstance(content, tuple) and len(content) == 2:  # with metadata
            content = content[0]
        if content is None:
            return None
        if kind == "json":
            if type(content) is bool:
                return "true" if content else "false"
            if type(content) is int:
                return repr(content)
            import json
            return json.dumps(content, allow_nan=False)
        if isinstance(content, str) and kind in ("png", "jpeg"):
            import base64
            return base64.b64decode(content)
        return content if isinstance(content, (str, bytes)) else None

    def forms(value):
        """The forms of a value, by kind."""
        found = {}
        if not isinstance(value, type):
            bundle = getattr(value, "_repr_mimebundle_", None)
            if callable(bundle):
                try:
                    bundle = bundle()
                    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
                    for mime, content in bundle.items():
                        content = encode(kinds[mime], content) if mime in kinds else None
                        if content is not None:
                            found[kinds[mime]] = content
                except Exception:
                    pass
            for method, kind in methods.items():
                method = getattr(value, method, None) if kind not in found else None
                if callable(method):
                    try:
                        content = encode(kind, method())
                    except Exception:
                        content = None
                    if content is not None:
                        found[kind] = content
        if type(value) in (dict, list, str, int, float, bool):
            try:
                found.setdefault("json", encode("json", value))
            except Exception:
                pass
        if "text" not in found:
            found["text"] = repr(value)
        return found

    def tell_result(found, role):
        """Returns once it has come: what is printed next does not overtake it."""
        flush()
        send(*found.items(), ("result", role))
        state["results"] += 1
        if os.getpid() != pid or _thread.get_ident() != main:
            return
        while state["taken"] < state["results"]:
            select.select([channel], [], [])  # may be interrupted
            state["sending"] = True
            read_frame()
            state["sending"] = False
            signalled()

    def show(value, role):
        tell_result(forms(value), role)

    def display(*values):
        """Shows values as results in every form that they have."""
        for value in values:
            show(value, "display")

    def show_figures():
        """What was drawn with matplotlib and not shown yet."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if not pyplot:
            return
        import io
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            image = io.BytesIO()
            figure.savefig(image, format="png", bbox_inches="tight")
            tell_result({"text": repr(figure), "png": image.getvalue()}, "display")
            pyplot.close(figure)

    class Figures:
        """Makes the module that matplotlib draws with."""
        name = "sandboxd_figures"

        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return type(sys.__spec__)(name, cls) if name == cls.name else None

        @staticmethod
        def create_module(spec):
            return None

        @staticmethod
        def exec_module(module):
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            module.FigureCanvas = FigureCanvasAgg
            module.show = lambda *args, **kwargs: show_figures()

    def await_result(coroutine):
        nonlocal loop
        import asyncio
        if loop is None:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            task.cancel()
            try:
                loop.run_until_complete(task)
            except BaseException:
                pass
            raise

    def evaluate(code):
        value = eval(code, namespace)
        return await_result(value) if code.co_flags & 0x80 else value  # CO_COROUTINE

    def execute(text, name):
        """Runs it; the value of the last expression is a result."""
        flags = 0x2000  # PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(text, name, "exec", flags | 0x400)  # PyCF_ONLY_AST
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = _ast.Expression(tree.body.pop().value)
        if tree.body:
            evaluate(compile(tree, name, "exec", flags))
        value = evaluate(compile(last, name, "eval", flags)) if last else None
        if value is not None:
            namespace["_"] = value
            show(value, "main")
        show_figures()

    def tell_error(kind, value, trace):
        import linecache
        import traceback
        for name, text in sources.items():
            linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        while trace and trace.tb_frame.f_code.co_filename == "sandboxd":
            trace = trace.tb_next
        try:
            content = str(value)
        except Exception:
            content = ""
        try:
            text = "".join(traceback.format_exception(kind, value, trace))
        except Exception:
            text = ""
        flush()
        send(("name", kind.__name__), ("value", content), ("traceback", text))

    def leave(error):
        """Ends a copy of this process, which the code has made."""
        status = 0
        if isinstance(error, SystemExit):
            status = error.code if isinstance(error.code, int) else error.code is not None
        elif error:
            sys.excepthook(type(error), error, error.__traceback__)
            status = 1
        flush()
        os._exit(int(status) & 255)

    def run(text):
        state["runs"] += 1
        state["results"] = state["taken"] = 0
        number = state["runs"]
        name = "<run %d>" % number
        sources[name] = text
        if len(sources) > 200:
            del sources[next(iter(sources))]
        status = "ok"
        send(("begin", number))
        try:
            try:
                state["running"] = True
                execute(text, name)
            finally:
                state["running"] = False
        except BaseException as error:
            if os.getpid() != pid:
                leave(error)
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
            try:
                tell_error(type(error), error, error.__traceback__)
            except Exception:
                pass
        if os.getpid() != pid:
            leave(None)
        flush()
        send(("done", "%d %s" % (number, status)))

    def read(n):
        data = bytearray()
        while len(data) < n:
            part = os.read(channel, min(n - len(data), 1 << 20))
            if not part:
                os._exit(0)
            data += part
        return bytes(data)

    def read_frame():
        head = b""
        while not head.endswith(b"\n"):
            head += read(1)
        word, length = head.split()
        text = read(int(length)).decode("utf-8", "surrogateescape")
        if word == b"taken":
            state["taken"] = int(text)
        return word, text

    def serve():
        nonlocal user_handler
        while True:
            word, text = read_frame()
            if word == b"run":
                _signal.signal(_signal.SIGINT, on_interrupt)
                run(text)
                handler = _signal.getsignal(_signal.SIGINT)
                if handler is not on_interrupt and callable(handler):  # the code's own
                    user_handler = handler
                _signal.signal(_signal.SIGINT, on_interrupt)
            elif word == b"prepare":  # what results and errors need
                import json
                import linecache
                import traceback
                send(("ready", state["runs"]))
            elif word == b"hello":
                send(("ready", state["runs"]))

    _signal.signal(_signal.SIGINT, on_interrupt)
    sys.stdout.reconfigure(line_buffering=True)
    sys.meta_path.append(Figures)
    os.environ.setdefault("MPLBACKEND", "module://" + Figures.name)
    sys.argv = [""]
    builtins.display = display
    while True:
        try:
            serve()
        except KeyboardInterrupt:
            pass


driver()
