import { useCallback, useRef, useState } from "react";
import { Feed } from "./Feed.jsx";
import { Members } from "./Members.jsx";
import { Timeline } from "./Timeline.jsx";
import { useAnswers } from "./useAnswers.js";
import { useLive } from "./useLive.js";

const RATES = [1, 4, 10];
const COLOURS = 8;

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : 0;
}

function Figure({ label, value, unit }) {
  return <div className="figure"><dt>{label}</dt><dd>{value}<small>{unit}</small></dd></div>;
}

export function App() {
  const [rate, setRate] = useState(1);
  const { answers, members, reset } = useAnswers(rate);
  const live = useLive();

  // A host keeps the colour it got when it first answered.
  const seen = useRef([]);
  const colour = useCallback((host) => {
    if (!seen.current.includes(host)) seen.current.push(host);
    return seen.current.indexOf(host) % COLOURS;
  }, []);

  const total = Object.values(members).reduce((sum, member) => sum + member.count, 0);
  const releases = new Set(Object.values(members).map((member) => member.release));
  const failed = answers.filter((answer) => answer.error).length;
  const good = answers.filter((answer) => !answer.error);

  return (
    <>
      <header>
        <img src="/icon.svg" alt="" width="44" height="44" />
        <div>
          <h1>Who answered?</h1>
          <p>Every bar is one request through the proxy. Its colour is the host that took it.</p>
        </div>
        <fieldset>
          <legend>Requests a second</legend>
          {[0, ...RATES].map((value) => (
            <button key={value} type="button" aria-pressed={rate === value} onClick={() => setRate(value)}>
              {value === 0 ? "Pause" : value}
            </button>
          ))}
          <button type="button" className="plain" onClick={reset}>Start over</button>
        </fieldset>
      </header>
      <main>
        <dl className="figures">
          <Figure label="Answers" value={total} />
          <Figure label="Hosts" value={Object.keys(members).length} />
          <Figure label="Releases" value={releases.size} />
          <Figure label="Median time" value={median(good.map((answer) => answer.ms)).toFixed(1)} unit=" ms" />
          <Figure label={`Failed of the last ${answers.length}`} value={failed} />
        </dl>
        <section className="wide"><h2>The last answers</h2><Timeline answers={answers} colour={colour} /></section>
        <section><h2>Hosts</h2><Members members={members} total={total} colour={colour} newest={good.at(-1)?.host} /></section>
        <section><h2>WebSocket</h2><Feed {...live} colour={colour} /></section>
      </main>
    </>
  );
}
