/** One card per host that answered: its share of the requests, its release, its last answer. */
export function Members({ members, total, colour, newest }) {
  const rows = Object.values(members).sort((a, b) => a.host.localeCompare(b.host, "en", { numeric: true }));
  if (rows.length === 0) return <p className="quiet">Waiting for the first answer.</p>;
  return (
    <ul className="members">
      {rows.map((member) => (
        <li key={member.host} className={member.host === newest ? "lit" : ""}>
          <div className="who">
            <i className={`dot c${colour(member.host)}`} />
            <h3>{member.host}</h3>
            <code>{member.release}</code>
          </div>
          <b className="share">{((100 * member.count) / total).toFixed(0)}<small>%</small></b>
          <svg className="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
            <rect className="track" width="100" height="4" rx="2" />
            <rect className={`c${colour(member.host)}`} width={(100 * member.count) / total} height="4" rx="2" />
          </svg>
          <p>{member.count} answers, the last in {member.ms.toFixed(1)} ms</p>
        </li>
      ))}
    </ul>
  );
}
