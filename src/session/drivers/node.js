// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs pieces of JavaScript in one global scope and tells the results; see driver.h. Descriptor 3 is the socket.
(() => {
    "use strict";
    const fs = require("fs");
    const inspector = require("inspector");
    const net = require("net");
    const util = require("util");
    const vm = require("vm");

    const channel = new net.Socket({ fd: 3, readable: true, writable: true });
    const session = new inspector.Session();
    // what the evaluated code is reached by, and reaches us
    const hook = { run: null, take: null };
    const hookName = "globalThis[Symbol.for('sandboxd')]";
    const script = new vm.Script(`${hookName}.run()`, { filename: "sandboxd" });
    let input = Buffer.alloc(0);
    let runs = 0;
    let running = false;
    let stop = null; // ends what is awaited

    // an interrupt may end each of these at any point: what is not sent yet goes first the next time
    let unsent = Buffer.alloc(0);
    let results = 0;
    let taken = 0;
    const never = new Int32Array(new SharedArrayBuffer(4));
    const patiently = (call) => {
        for (;;) {
            try {
                return call();
            } catch (error) {
                if (error.code !== "EAGAIN") {
                    process.exit(0);
                }
                Atomics.wait(never, 0, 0, 0.2);
            }
        }
    };
    const send = (...frames) => {
        unsent = Buffer.concat([unsent, ...frames.flatMap(([word, content]) => {
            const bytes = Buffer.from(String(content));
            return [Buffer.from(`${word} ${bytes.length}\n`), bytes];
        })]);
        while (unsent.length > 0) {
            unsent = unsent.subarray(patiently(() => fs.writeSync(3, unsent)));
        }
    };
    const receive = () => {
        const part = Buffer.alloc(65536);
        const length = patiently(() => fs.readSync(3, part));
        if (length === 0) {
            process.exit(0);
        }
        input = Buffer.concat([input, part.subarray(0, length)]);
    };
    // the next whole frame, or null
    const takeFrame = () => {
        const end = input.indexOf(10);
        if (end < 0) {
            return null;
        }
        const [word, length] = input.toString("latin1", 0, end).split(" ");
        const total = end + 1 + Number(length);
        if (input.length < total) {
            return null;
        }
        const text = input.toString("utf8", end + 1, total);
        input = input.subarray(total);
        if (word === "taken") {
            taken = Number(text);
        }
        return [word, text];
    };

    const isPlain = (value) => ["string", "number", "boolean"].includes(typeof value) || Array.isArray(value) ||
        (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype);
    const show = (value, role) => {
        const frames = [["text", util.inspect(value)]];
        if (isPlain(value)) {
            try {
                frames.push(["json", JSON.stringify(value)]);
            } catch {
                // a cycle
            }
        }
        results++;
        send(...frames, ["result", role]);
        // what is printed next must not overtake it
        while (taken < results) {
            while (takeFrame() === null) {
                receive();
            }
        }
    };

    // the frames below those of the code are ours
    const cleanStack = (stack) => {
        const lines = String(stack).split("\n");
        const end = lines.findIndex((line) => /^\s+at (Session\.post|.*sandboxd:)/.test(line));
        return (end < 0 ? lines : lines.slice(0, end)).join("\n");
    };
    const tellError = (error) => {
        const isError = error instanceof Error;
        send(["name", isError ? error.name : "Error"], ["value", isError ? error.message : util.inspect(error)],
            ["traceback", isError ? cleanStack(error.stack) : util.inspect(error)]);
    };

    const start = (code) => {
        const number = ++runs;
        const finish = (status, error) => {
            if (!running || number !== runs) {
                return;
            }
            running = false;
            stop = null;
            if (status !== "ok") {
                tellError(error);
            }
            send(["done", `${number} ${status}`]);
            channel.resume();
            setImmediate(next);
        };
        const interrupted = () => finish("interrupted", Object.assign(new Error("The run was interrupted."),
            { name: "Interrupted", stack: "Interrupted: The run was interrupted." }));
        const take = (failed, value) => {
            try {
                if (failed) {
                    finish("error", value);
                    return;
                }
                if (value !== undefined) {
                    globalThis._ = value;
                    show(value, "main");
                }
                finish("ok");
            } catch (error) {
                finish("error", error);
            }
        };
        // from the inspector's description of a value to the value
        const evaluated = (problem, answer) => {
            if (problem) {
                finish("error", new Error(problem.message));
                return;
            }
            const failed = Boolean(answer.exceptionDetails);
            const object = failed ? answer.exceptionDetails.exception ?? {} : answer.result;
            const { objectId, unserializableValue, value } = object;
            hook.take = (result) => take(failed, result);
            session.post("Runtime.callFunctionOn", {
                executionContextId: 1,
                functionDeclaration: `function (value) { ${hookName}.take(value); }`,
                arguments: [objectId ? { objectId } : unserializableValue ? { unserializableValue } : { value }],
                silent: true,
            }, (failure) => failure && finish("error", new Error(failure.message)));
            if (objectId) {
                session.post("Runtime.releaseObject", { objectId });
            }
        };

        running = true;
        results = taken = 0;
        stop = interrupted;
        channel.pause();
        hook.run = () => session.post("Runtime.evaluate",
            { expression: code, replMode: true, awaitPromise: true, silent: true }, evaluated);
        send(["begin", number]);
        try {
            script.runInThisContext({ breakOnSigint: true });
        } catch (error) {
            if (error.code === "ERR_SCRIPT_EXECUTION_INTERRUPTED") {
                interrupted();
            } else {
                finish("error", error);
            }
        }
    };

    function next() {
        while (!running) {
            const frame = takeFrame();
            if (!frame) {
                return;
            }
            const [word, text] = frame;
            if (word === "run") {
                start(text);
            } else if (word === "hello" || word === "prepare") {
                send(["ready", runs]);
            }
        }
    }

    session.connect();
    Object.defineProperty(globalThis, Symbol.for("sandboxd"), { value: hook });
    globalThis.require = require;
    globalThis.module = module;
    globalThis.display = (...values) => values.forEach((value) => show(value, "display"));
    process.on("SIGINT", () => stop?.());
    process.on("uncaughtException", (error) => console.error(error)); // of what a run left behind
    channel.on("data", (data) => {
        input = Buffer.concat([input, data]);
        next();
    });
    channel.on("end", () => process.exit(0));
    channel.on("error", () => process.exit(0));
})();
