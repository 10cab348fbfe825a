/**
 * React hook: one stream for the life of a component. A module of its own, built beside the client and importing it;
 * the only module that imports React.
 */
import { useEffect, useRef, useState } from 'react';
import { MinervaStream, type Message, type MinervaOptions, type Problem, type ServiceUrl, type State } from './client.js';

/** Options of `useMinerva`: those of the stream, and the receiver of its messages. */
export interface UseMinervaOptions extends MinervaOptions {
  /** Receives the messages; the function of the last rendering is called. */
  readonly onmessage?: (message: Message) => void;
}

/** The stream of a component and its state. */
export interface MinervaView {
  /** Null before the component is mounted, and on a server. */
  readonly stream: MinervaStream | null;
  /** As `MinervaStream.state`. */
  readonly state: State;
  /** As `MinervaStream.problem`. */
  readonly problem: Problem | null;
}

const UNMOUNTED: MinervaView = { stream: null, state: 'connecting', problem: null };

/**
 * Opens a stream while the component is mounted, and closes it once its messages are durable. The component is rendered
 * again when state or problem change. A change of URL or options opens another stream. The second mount of StrictMode
 * costs the server nothing: a stream that is closed at once opens no connection.
 *
 *     const { stream, state } = useMinerva('/_minerva/', { onmessage: (text) => setLines((all) => [...all, text]) });
 */
export function useMinerva(url: ServiceUrl = '/_minerva/', options: UseMinervaOptions = {}): MinervaView {
  const { onmessage, ...rest } = options;
  const receiver = useRef(onmessage);
  receiver.current = onmessage;
  const [view, setView] = useState(UNMOUNTED);
  useEffect(() => {
    const stream = new MinervaStream(url, rest);
    const show = (): void => setView({ stream, state: stream.state, problem: stream.problem });
    stream.onstate = stream.onproblem = show;
    stream.onmessage = ({ data }) => receiver.current?.(data);
    show();
    return () => {
      stream.onstate = stream.onproblem = stream.onmessage = null;
      void stream.close('unmounted');
    };
  }, [JSON.stringify([url, rest])]);
  return view;
}
