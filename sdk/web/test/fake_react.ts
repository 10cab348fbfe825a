/** The hooks of React for one component, with the second mount of StrictMode. */
interface Effect {
  readonly run: () => () => void;
  readonly key: string;
  cleanup: (() => void) | undefined;
}

let component: Component<unknown> | null = null;

/** A mounted component; `view` is the result of the last rendering. */
export class Component<T> {
  view!: T;
  readonly cells: unknown[] = [];
  cell = 0;
  effects: Effect[] = [];
  renderings = 0;

  constructor(
    public body: () => T,
    isStrict = false,
  ) {
    this.render();
    if (!isStrict) return;
    for (const effect of this.effects) effect.cleanup?.();
    for (const effect of this.effects) effect.cleanup = effect.run();
  }

  render(): void {
    component = this;
    this.cell = 0;
    this.renderings += 1;
    this.view = this.body();
    component = null;
    for (const effect of this.effects) effect.cleanup ??= effect.run();
  }

  unmount(): void {
    for (const effect of this.effects) effect.cleanup?.();
  }
}

export function useRef<T>(initial: T): { current: T } {
  return cell(() => ({ current: initial }));
}

export function useState<T>(initial: T): [T, (value: T) => void] {
  const own = component;
  const state = cell(() => ({ value: initial }));
  const set = (value: T): void => {
    state.value = value;
    queueMicrotask(() => own?.render());
  };
  return [state.value, set];
}

export function useEffect(run: () => () => void, dependencies: readonly unknown[]): void {
  const key = JSON.stringify(dependencies);
  const [before] = component?.effects ?? [];
  if (before?.key === key) return;
  before?.cleanup?.();
  if (component) component.effects = [{ run, key, cleanup: undefined }];
}

function cell<T>(make: () => T): T {
  if (!component) throw new Error('a hook outside of a rendering');
  const { cells } = component;
  const at = component.cell++;
  return (cells[at] ??= make()) as T;
}
