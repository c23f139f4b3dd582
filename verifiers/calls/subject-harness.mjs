// Follows typed-json.mjs in one program. Imports the attempt's module and answers calls, one line each: the request's
// nonce comes back with the answer. Nothing here is trusted by the worker.
const { writeSync } = process.getBuiltinModule("node:fs");
const { pathToFileURL } = process.getBuiltinModule("node:url");
const { parse, stringify } = JSON;

function answer(frame) {
  let data = Buffer.from(`${stringify(frame)}\n`);
  while (data.length > 0) data = data.subarray(writeSync(3, data));
}

function raised(error) {
  const isError = error instanceof Error;
  const text = (value) => {
    try {
      return String(value).slice(0, 2000);
    } catch {
      return "";
    }
  };
  return {
    name: isError ? text(error.name) : "Error",
    bases: [],
    message: isError ? text(error.message) : text(error),
    args: null,
  };
}

async function call(module, request) {
  const found = module[request.function] ?? module.default?.[request.function];
  if (typeof found !== "function") return { broken: `there is no function ${request.function}` };
  const args = request.args.map(decode);
  let reply;
  try {
    const value = await found(...args);
    try {
      reply = { value: encode(value) };
    } catch (error) {
      return { broken: String(error.message) };
    }
  } catch (error) {
    reply = { raised: raised(error) };
  }
  try {
    const after = args.map((part) => encode(part));
    if (stringify(after) !== stringify(request.args)) reply.args = after;
  } catch {
    return reply;
  }
  return reply;
}

let loaded = null;
async function respond(request) {
  if (loaded !== null) return request.function === null ? { value: null } : call(loaded, request);
  try {
    loaded = await import(pathToFileURL(`${process.cwd()}/${request.entry}`).href);
    return { value: null };
  } catch (error) {
    return { raised: raised(error) };
  }
}

let rest = "";
let turn = Promise.resolve();
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  for (const line of lines) {
    const request = parse(line);
    turn = turn.then(async () => answer({ ...(await respond(request)), nonce: request.nonce }));
  }
});
