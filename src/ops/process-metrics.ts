import { LOG_LEVELS } from './logger.ts'
import { counter, gauge, type MetricDefinition } from './metric-definition.ts'
import { single } from './metric-scene.ts'

/** What runs, with which configuration, until when its credentials hold. */
export const PROCESS_METRICS: readonly MetricDefinition[] = [
  gauge(
    'build_info',
    ['version', 'revision', 'nodeversion'],
    'Always 1; what is running, in the labels',
    ({ report, extras }) => {
      const nodeversion = process.versions.node
      return [
        { labels: { version: report.version, revision: extras.revision, nodeversion }, value: 1 },
      ]
    },
  ),
  gauge(
    'start_time_seconds',
    [],
    'When the bridge was started, seconds since the epoch',
    single(({ report }) => report.startedAt / 1000),
  ),
  gauge(
    'ready',
    [],
    '1 while both sides are connected, subscribed and able to deliver',
    single(({ report }) => Number(report.ready)),
  ),
  gauge(
    'credential_expiry_timestamp_seconds',
    ['credential', 'account'],
    'When a credential expires, seconds since the epoch; 0 = never',
    ({ report }) =>
      report.expiries.map(({ credential, account, expiresAt }) => ({
        labels: { credential: credential.replaceAll(' ', '_'), account },
        value: expiresAt,
      })),
  ),
  gauge('config_info', ['hash'], 'Always 1; digest of the configuration in force', ({ extras }) => [
    { labels: { hash: extras.config().hash }, value: 1 },
  ]),
  gauge(
    'config_last_reload_successful',
    [],
    '1 when the last reading of the configuration took effect',
    single(({ extras }) => Number(extras.config().lastReloadOk)),
  ),
  gauge(
    'config_last_reload_success_timestamp_seconds',
    [],
    'When a configuration last took effect, seconds since the epoch',
    single(({ extras }) => extras.config().lastReloadOkAt / 1000),
  ),
  counter('log_messages_total', ['level'], 'Log lines written, by level', ({ extras }) =>
    LOG_LEVELS.map((level) => ({ labels: { level }, value: extras.logCounts[level] })),
  ),
]
