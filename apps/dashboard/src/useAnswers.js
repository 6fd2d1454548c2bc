import { useCallback, useEffect, useState } from "react";

const KEPT = 90;
const TIMEOUT_MS = 3000;

/** Asks /api/whoami `perSecond` times a second; gives the last answers, newest last, and counts per host. */
export function useAnswers(perSecond) {
  const [answers, setAnswers] = useState([]);
  const [members, setMembers] = useState({});

  const reset = useCallback(() => {
    setAnswers([]);
    setMembers({});
  }, []);

  useEffect(() => {
    if (!perSecond) return undefined;
    let stopped = false;
    const ask = async () => {
      const began = performance.now();
      let answer;
      try {
        const response = await fetch("/api/whoami", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
        if (!response.ok) throw new Error(`status ${response.status}`);
        answer = await response.json();
      } catch (error) {
        answer = { error: error.message };
      }
      if (stopped) return;
      const entry = { ...answer, ms: performance.now() - began, at: Date.now() };
      setAnswers((before) => [...before, entry].slice(-KEPT));
      if (entry.error) return;
      setMembers((before) => ({
        ...before,
        [entry.host]: { ...entry, count: (before[entry.host]?.count ?? 0) + 1 },
      }));
    };
    ask();
    const timer = setInterval(ask, 1000 / perSecond);
    return () => {
      stopped = true;
      clearInterval(timer);
    };
  }, [perSecond]);

  return { answers, members, reset };
}
