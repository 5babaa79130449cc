// openapi-generator's typescript-fetch: preview, confirm, a problem, two pages.
import { Configuration, KillsApi, ResponseError, SessionOrder, Status, type KillRequest } from "./generated/index.js";

const { KILLGATE_URL: basePath, KILLGATE_TOKEN: accessToken } = process.env;
const kills = new KillsApi(new Configuration({ basePath, accessToken }));

function ensure(holds: unknown, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

const asked: KillRequest = {
  target: "orders-ro",
  select: { match: { user: ["report"], minSeconds: "1s", limit: 1, order: SessionOrder.Longest } },
  reason: "a generated client",
};
const preview = await kills.killSessions({ killRequest: { ...asked, dryRun: true } });
ensure(preview.status === Status.Preview && preview.confirm, preview);
ensure(preview.target?.vendor === "taurusdb", preview);
const done = await kills.killSessions({ killRequest: { ...asked, confirm: preview.confirm }, prefer: "wait=10" });
ensure(done.status === Status.Succeeded && done.confirms === preview.id, done);

try {
  await kills.killSessions({ killRequest: { ...asked, target: "nowhere" } });
  ensure(false, "a target that there is not");
} catch (error) {
  if (!(error instanceof ResponseError)) throw error;
  const problem = await error.response.json();
  ensure(error.response.status === 404 && problem.code === "unknown_target", problem);
}

const query = { limit: 1, status: [Status.Succeeded, Status.Preview], since: new Date(0) };
const first = await kills.listKills(query);
ensure(first.items[0].id === done.id && first.nextCursor, first);
const second = await kills.listKills({ ...query, cursor: first.nextCursor });
ensure(second.items[0].id === preview.id, second);
