const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** What arrives over the WebSocket: one host stays at the other end until it restarts. */
export function Feed({ state, ticks, reconnects, colour }) {
  return (
    <>
      <p className={`state ${state}`}>
        <i /> {state === "open" ? `Held by ${ticks[0]?.host ?? "a host that has yet to speak"}` : "Connecting"}
        {reconnects > 0 && <span>, connected again {reconnects} {reconnects === 1 ? "time" : "times"}</span>}
      </p>
      {ticks.length > 0 && (
        <table>
          <thead><tr><th>Time</th><th>Host</th><th>Up</th><th>Clients</th></tr></thead>
          <tbody>
            {ticks.map((tick) => (
              <tr key={`${tick.host}${tick.at}`}>
                <td>{clock.format(tick.at)}</td>
                <td><i className={`dot c${colour(tick.host)}`} /> {tick.host}</td>
                <td>{tick.uptime} s</td>
                <td>{tick.clients}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
