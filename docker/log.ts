/** What a provider says about itself: fields first, constant message. pino's logger fits. */
export interface ProviderLog {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export const silentLog: ProviderLog = { debug: () => undefined, warn: () => undefined };
