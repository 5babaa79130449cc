"""openapi-python-client: preview, confirm, a problem, two pages."""

import datetime
import os

from killgate_client import AuthenticatedClient
from killgate_client.api.kills import kill_sessions, list_kills
from killgate_client.models import (
    KillAnswer,
    KillPage,
    KillRequest,
    Match,
    ProblemDocument,
    SelectMatch,
    SessionOrder,
    Status,
)

client = AuthenticatedClient(base_url=os.environ["KILLGATE_URL"], token=os.environ["KILLGATE_TOKEN"])
select = SelectMatch(match=Match(user=["report"], min_seconds="1s", limit=1, order=SessionOrder.LONGEST))
asked = {"target": "orders-ro", "select": select, "reason": "a generated client"}

preview = kill_sessions.sync(client=client, body=KillRequest(**asked, dry_run=True))
assert isinstance(preview, KillAnswer) and preview.status == Status.PREVIEW and preview.confirm, preview
assert preview.target.vendor == "taurusdb", preview
done = kill_sessions.sync(client=client, body=KillRequest(**asked, confirm=preview.confirm), prefer="wait=10")
assert done.status == Status.SUCCEEDED and done.confirms == preview.id, done

wrong = kill_sessions.sync_detailed(client=client, body=KillRequest(**{**asked, "target": "nowhere"}))
assert isinstance(wrong.parsed, ProblemDocument) and wrong.status_code == 404, wrong
assert wrong.parsed.code == "unknown_target", wrong

since = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
query = {"limit": 1, "status": [Status.SUCCEEDED, Status.PREVIEW], "since": since}
first = list_kills.sync(client=client, **query)
assert isinstance(first, KillPage) and first.items[0].id == done.id, first
second = list_kills.sync(client=client, **query, cursor=first.next_cursor)
assert second.items[0].id == preview.id, second
