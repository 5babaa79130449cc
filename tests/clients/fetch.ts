// openapi-typescript with openapi-fetch: preview, confirm, a problem, two pages.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const { KILLGATE_URL: baseUrl, KILLGATE_TOKEN: token } = process.env;
// The client does not read from the document how lists are written in a query.
const querySerializer = { array: { style: "form", explode: false } } as const;
const client = createClient<paths>({ baseUrl, querySerializer, headers: { Authorization: `Bearer ${token}` } });
type Request = components["schemas"]["KillRequest"];

function ensure(holds: unknown, what: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(what));
}

const asked: Request = {
  target: "orders-ro",
  select: { match: { user: ["report"], min_seconds: "1s", except: { database: "nowhere" }, limit: 1, order: "longest" } },
  reason: "a generated client",
};
const preview = await client.POST("/sessions/kill", { body: { ...asked, dry_run: true } });
ensure(preview.data?.status === "preview" && preview.data.confirm, preview);
ensure(preview.data.target?.vendor === "taurusdb" && preview.data.target.node_id, preview.data.target);
const done = await client.POST("/sessions/kill", {
  body: { ...asked, confirm: preview.data.confirm },
  params: { header: { "Idempotency-Key": "fetch", Prefer: "wait=10" } },
});
ensure(done.data?.status === "succeeded" && done.data.confirms === preview.data.id, done);

const wrong = await client.POST("/sessions/kill", { body: { ...asked, target: "nowhere" } });
ensure(wrong.error?.code === "unknown_target" && wrong.response.status === 404, wrong);

const query = { limit: 1, status: ["succeeded", "preview"] as components["schemas"]["Status"][] };
const first = await client.GET("/kills", { params: { query: { ...query, order: "newest", since: "2020-01-01T00:00:00Z" } } });
ensure(first.data?.items[0].id === done.data.id && first.data.next_cursor, first);
const second = await client.GET("/kills", {
  params: { query: { ...query, since: "2020-01-01T00:00:00Z", cursor: first.data.next_cursor } },
});
ensure(second.data?.items[0].id === preview.data.id, second);
