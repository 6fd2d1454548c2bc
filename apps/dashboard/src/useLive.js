import { useEffect, useState } from "react";

const KEPT = 8;
const SLOWEST_MS = 8000;

/** Keeps a WebSocket to /live; gives its state, the last ticks (newest first) and how often it had to connect again. */
export function useLive() {
  const [state, setState] = useState("connecting");
  const [ticks, setTicks] = useState([]);
  const [reconnects, setReconnects] = useState(0);

  useEffect(() => {
    let socket;
    let timer;
    let stopped = false;
    let wait = 500;
    const connect = () => {
      const scheme = location.protocol === "https:" ? "wss:" : "ws:";
      socket = new WebSocket(`${scheme}//${location.host}/live`);
      socket.addEventListener("open", () => {
        wait = 500;
        setState("open");
      });
      socket.addEventListener("message", (event) => {
        setTicks((before) => [JSON.parse(event.data), ...before].slice(0, KEPT));
      });
      socket.addEventListener("close", () => {
        if (stopped) return;
        setState("connecting");
        setReconnects((before) => before + 1);
        timer = setTimeout(connect, wait);
        wait = Math.min(wait * 2, SLOWEST_MS);
      });
    };
    connect();
    return () => {
      stopped = true;
      clearTimeout(timer);
      socket.close();
    };
  }, []);

  return { state, ticks, reconnects };
}
