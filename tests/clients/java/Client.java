// openapi-generator's Java: preview, confirm, a problem, two pages.

import killgate.ApiClient;
import killgate.ApiException;
import killgate.api.KillsApi;
import killgate.model.KillAnswer;
import killgate.model.KillPage;
import killgate.model.KillRequest;
import killgate.model.Match;
import killgate.model.ProblemCode;
import killgate.model.ProblemDocument;
import killgate.model.Select;
import killgate.model.SessionOrder;
import killgate.model.Status;
import killgate.model.Target;
import java.time.OffsetDateTime;
import java.util.List;

public class Client {
  static void ensure(boolean holds, Object what) {
    if (!holds) throw new AssertionError(what);
  }

  static KillRequest asked(String target) {
    Match match = new Match().user(List.of("report")).minSeconds("1s").limit(1).order(SessionOrder.LONGEST);
    Select select = new Select().match(match);
    return new KillRequest().target(new Target(target)).select(select).reason("a generated client");
  }

  static KillsApi.APIKillSessionsRequest with(KillRequest request) {
    return KillsApi.APIKillSessionsRequest.newBuilder().killRequest(request).prefer("wait=10").build();
  }

  static KillPage page(KillsApi kills, String cursor) throws ApiException {
    return kills.listKills(KillsApi.APIListKillsRequest.newBuilder().limit(1).cursor(cursor)
        .since(OffsetDateTime.parse("2020-01-01T00:00:00Z")).status(List.of(Status.SUCCEEDED, Status.PREVIEW)).build());
  }

  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(System.getenv("KILLGATE_URL"));
    client.setRequestInterceptor(
        request -> request.header("Authorization", "Bearer " + System.getenv("KILLGATE_TOKEN")));
    KillsApi kills = new KillsApi(client);

    KillAnswer preview = kills.killSessions(with(asked("orders-ro").dryRun(true)));
    ensure(preview.getStatus() == Status.PREVIEW && preview.getConfirm() != null, preview);
    ensure("taurusdb".equals(preview.getTarget().getVendor()), preview);
    KillAnswer done = kills.killSessions(with(asked("orders-ro").confirm(preview.getConfirm())));
    ensure(done.getStatus() == Status.SUCCEEDED && preview.getId().equals(done.getConfirms()), done);

    try {
      kills.killSessions(with(asked("nowhere")));
      ensure(false, "a target that there is not");
    } catch (ApiException error) {
      ProblemDocument problem = client.getObjectMapper().readValue(error.getResponseBody(), ProblemDocument.class);
      ensure(error.getCode() == 404 && problem.getCode() == ProblemCode.UNKNOWN_TARGET, problem);
    }

    KillPage first = page(kills, null);
    ensure(done.getId().equals(first.getItems().get(0).getId()) && first.getNextCursor() != null, first);
    KillPage second = page(kills, first.getNextCursor());
    ensure(preview.getId().equals(second.getItems().get(0).getId()), second);
  }
}
