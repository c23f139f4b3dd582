// Follows typed-json.mjs in one program. Runs trusted files in the judge sandbox: hidden tests whose calls go to the subject
// (task "tests"), or a generator of inputs (task "generate"). Everything it says goes to its channel with the run's nonce.
const { writeSync } = process.getBuiltinModule("node:fs");
const { pathToFileURL } = process.getBuiltinModule("node:url");

let hello = null;
let broken = null;
let calls = 0;
const waiting = [];
const ready = Promise.withResolvers();

function say(frame) {
  let data = Buffer.from(`${JSON.stringify({ ...frame, nonce: hello.nonce })}\n`);
  while (data.length > 0) data = data.subarray(writeSync(3, data));
}

function ask(frame) {
  calls++;
  say(frame);
  const reply = Promise.withResolvers();
  waiting.push(reply);
  return reply.promise;
}

function giveUp(reason) {
  broken ??= reason;
  return new Error(reason);
}

const kinds = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function errorOf({ name, message }) {
  const error = new (Object.hasOwn(kinds, name) ? kinds[name] : Error)(message);
  if (error.name !== name) error.name = name;
  return error;
}

/** Makes `old` hold what `fresh` holds, in place, so that the test sees what the call changed. */
function renew(old, fresh) {
  if (Array.isArray(old) && Array.isArray(fresh)) {
    const parts = fresh.map((part, i) => (i < old.length ? renew(old[i], part) : part));
    old.splice(0, old.length, ...parts);
    return old;
  }
  if (old instanceof Map && fresh instanceof Map) {
    const parts = [...fresh].map(([key, part]) => [key, old.has(key) ? renew(old.get(key), part) : part]);
    old.clear();
    for (const [key, part] of parts) old.set(key, part);
    return old;
  }
  if (old instanceof Set && fresh instanceof Set) {
    old.clear();
    for (const part of fresh) old.add(part);
    return old;
  }
  const plain = (value) =>
    value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
  if (!plain(old) || !plain(fresh)) return fresh;
  for (const key of Object.keys(old)) if (!Object.hasOwn(fresh, key)) delete old[key];
  for (const [key, part] of Object.entries(fresh)) old[key] = Object.hasOwn(old, key) ? renew(old[key], part) : part;
  return old;
}

async function call(name, args) {
  let typed;
  try {
    typed = args.map((part) => encode(part));
  } catch (error) {
    throw giveUp(`an argument: ${error.message}`);
  }
  const reply = await ask({ type: "call", function: name, args: typed, kwargs: {} });
  if ("broken" in reply) throw giveUp(reply.broken);
  let value;
  try {
    reply.args?.forEach((part, i) => {
      renew(args[i], decode(part));
    });
    value = "raised" in reply ? null : decode(reply.value);
  } catch (error) {
    throw giveUp(`an answer that cannot be read: ${error.message}`);
  }
  if ("raised" in reply) throw errorOf(reply.raised);
  return value;
}

async function run(args = [], { stdin = "", files = {} } = {}) {
  const reply = await ask({ type: "run", args: args.map(String), stdin, files });
  return { exitCode: reply.exit_code, stdout: reply.stdout, stderr: reply.stderr };
}

// The modules that stand in the place of the subject's find their members here.
globalThis[Symbol.for("polygym.judge")] = { call, run };

const load = () => import(pathToFileURL(`${process.cwd()}/${hello.file}`).href);
const messageOf = (error) => `${error?.name ?? "Error"}: ${String(error?.message ?? error).slice(0, 1500)}`;

async function one(test) {
  broken = null;
  let message = null;
  try {
    await test();
  } catch (error) {
    message = messageOf(error);
  }
  if (broken !== null) message = broken;
  return { status: message === null ? "passed" : "failed", message };
}

async function runTests() {
  let tests;
  try {
    tests = await load();
  } catch (error) {
    return say({ type: "unloadable", message: messageOf(error), calls });
  }
  for (const [name, test] of Object.entries(tests))
    if (name.startsWith("test_") && typeof test === "function")
      say({ type: "result", id: `${hello.file}::${name}`, ...(await one(test)) });
  say({ type: "end" });
}

async function generate() {
  const { generate: make } = await load();
  for (const { function: name = null, args = [], stdin = "", files = {} } of await make(hello.seed, hello.count))
    say({ type: "input", function: name, args: args.map((part) => encode(part)), stdin, files });
  say({ type: "end" });
}

let rest = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  for (const line of lines) {
    const frame = JSON.parse(line);
    if (hello === null) {
      hello = frame;
      ready.resolve();
    } else waiting.shift()?.resolve(frame);
  }
});
process.stdin.on("end", () => process.exit(3));
process.on("unhandledRejection", (error) => {
  broken ??= `an unhandled rejection: ${messageOf(error)}`;
});

ready.promise
  .then(() => (hello.task === "tests" ? runTests() : generate()))
  .then(
    () => process.exit(0),
    (error) => {
      process.stderr.write(`${error?.stack ?? error}\n`);
      process.exit(2);
    },
  );
