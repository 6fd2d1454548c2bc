const BARS = 90;
const WIDTH = 900;
const HEIGHT = 120;

/** The last answers as bars: colour says who, height says how long it took. */
export function Timeline({ answers, colour }) {
  const slowest = Math.max(20, ...answers.map((answer) => answer.ms));
  const step = WIDTH / BARS;
  const shift = BARS - answers.length;
  return (
    <svg className="timeline" viewBox={`0 0 ${WIDTH} ${HEIGHT + 22}`} role="img" aria-label="The last answers, by host and time taken">
      <path className="rule" d={`M0 ${HEIGHT}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 1H${WIDTH}`} />
      {answers.map((answer, index) => {
        const height = answer.error ? HEIGHT : Math.max(5, (answer.ms / slowest) * (HEIGHT - 6));
        return (
          <rect key={answer.at + index} className={answer.error ? "failed" : `c${colour(answer.host)}`} rx="2.5"
            x={(shift + index) * step + 1.5} y={HEIGHT - height} width={step - 3} height={height}>
            <title>{answer.error ?? `${answer.host}, ${answer.ms.toFixed(1)} ms`}</title>
          </rect>
        );
      })}
      <text x="0" y={HEIGHT + 17}>older</text>
      <text x={WIDTH} y={HEIGHT + 17} textAnchor="end">now</text>
      <text x={WIDTH} y="14" textAnchor="end">{slowest.toFixed(0)} ms</text>
    </svg>
  );
}
