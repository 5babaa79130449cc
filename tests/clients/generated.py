"""openapi-generator's python: preview, confirm, a problem, two pages."""

import datetime
import json
import os

import killgate_generated as killgate
from killgate_generated.exceptions import NotFoundException

configuration = killgate.Configuration(host=os.environ["KILLGATE_URL"], access_token=os.environ["KILLGATE_TOKEN"])
# As it comes, the client writes a zone without a colon, which is not RFC 3339.
configuration.datetime_format = "%Y-%m-%dT%H:%M:%SZ"
with killgate.ApiClient(configuration) as client:
    kills = killgate.KillsApi(client)

    def asked(target="orders-ro", **more):
        match = killgate.Match(
            user=["report"], min_seconds="1s", limit=1, order=killgate.SessionOrder.LONGEST
        )
        select = killgate.Select(match=match)
        return killgate.KillRequest(
            target=killgate.Target(target), select=select, reason="a generated client", **more
        )

    preview = kills.kill_sessions(asked(dry_run=True))
    assert preview.status == killgate.Status.PREVIEW and preview.confirm, preview
    assert preview.target.vendor == "taurusdb", preview
    done = kills.kill_sessions(asked(confirm=preview.confirm), prefer="wait=10")
    assert done.status == killgate.Status.SUCCEEDED and done.confirms == preview.id, done

    try:
        kills.kill_sessions(asked(target="nowhere"))
        raise AssertionError("a target that there is not")
    except NotFoundException as error:
        assert json.loads(error.body)["code"] == "unknown_target", error

    since = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    query = {"limit": 1, "status": [killgate.Status.SUCCEEDED, killgate.Status.PREVIEW], "since": since}
    first = kills.list_kills(**query)
    assert first.items[0].id == done.id, first
    second = kills.list_kills(**query, cursor=first.next_cursor)
    assert second.items[0].id == preview.id, second
