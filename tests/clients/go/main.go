// openapi-generator's Go: preview, confirm, a problem, two pages.
package main

import (
	"context"
	"net/http"
	"os"
	"time"

	killgate "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func ensure(holds bool, what any) {
	if !holds {
		panic(what)
	}
}

func must[T any](answer T, _ *http.Response, err error) T {
	ensure(err == nil, err)
	return answer
}

func main() {
	configuration := killgate.NewConfiguration()
	configuration.Servers = killgate.ServerConfigurations{{URL: os.Getenv("KILLGATE_URL")}}
	client := killgate.NewAPIClient(configuration).KillsAPI
	ctx := context.WithValue(context.Background(), killgate.ContextAccessToken, os.Getenv("KILLGATE_TOKEN"))

	asked := func(target string) killgate.KillRequest {
		match := killgate.Match{User: []string{"report"}}
		match.SetMinSeconds("1s")
		match.SetLimit(1)
		match.SetOrder(killgate.SESSIONORDER_LONGEST)
		selected := killgate.Select{Match: &match}
		return *killgate.NewKillRequest("a generated client", selected, killgate.StringAsTarget(&target))
	}

	request := asked("orders-ro")
	request.SetDryRun(true)
	preview := must(client.KillSessions(ctx).KillRequest(request).Execute())
	ensure(preview.GetStatus() == killgate.STATUS_PREVIEW && preview.GetConfirm() != "", preview)
	target := preview.GetTarget()
	ensure(target.GetVendor() == "taurusdb", target)
	request = asked("orders-ro")
	request.SetConfirm(preview.GetConfirm())
	done := must(client.KillSessions(ctx).KillRequest(request).Prefer("wait=10").Execute())
	ensure(done.GetStatus() == killgate.STATUS_SUCCEEDED && done.GetConfirms() == preview.GetId(), done)

	_, answer, err := client.KillSessions(ctx).KillRequest(asked("nowhere")).Execute()
	failure, isProblem := err.(*killgate.GenericOpenAPIError)
	ensure(isProblem && answer.StatusCode == http.StatusNotFound, err)
	problem, isDocument := failure.Model().(killgate.ProblemDocument)
	ensure(isDocument && problem.GetCode() == killgate.PROBLEMCODE_UNKNOWN_TARGET, failure.Model())

	page := func() killgate.ApiListKillsRequest {
		return client.ListKills(ctx).Limit(1).Since(time.Unix(0, 0)).
			Status([]killgate.Status{killgate.STATUS_SUCCEEDED, killgate.STATUS_PREVIEW})
	}
	first := must(page().Execute())
	ensure(first.Items[0].GetId() == done.GetId() && first.GetNextCursor() != "", first)
	second := must(page().Cursor(first.GetNextCursor()).Execute())
	ensure(second.Items[0].GetId() == preview.GetId(), second)
}
