/** Whether a filter covers a topic [MQTT-4.7]; one that begins with a wildcard covers no `$` topic [MQTT-4.7.2-1]. */
export function covers(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('#') || filter.startsWith('+'))) return false
  let f = 0
  let t = 0
  for (;;) {
    if (filter[f] === '#') return true
    const filterEnd = levelEnd(filter, f)
    const topicEnd = levelEnd(topic, t)
    if (!sameLevel(filter, f, filterEnd, topic, t, topicEnd)) return false
    if (topicEnd === topic.length) {
      // `a/#` covers `a` as well [MQTT-4.7.1-2]
      return filterEnd === filter.length || filter.slice(filterEnd) === '/#'
    }
    if (filterEnd === filter.length) return false
    f = filterEnd + 1
    t = topicEnd + 1
  }
}

function levelEnd(name: string, from: number): number {
  const at = name.indexOf('/', from)
  return at === -1 ? name.length : at
}

function sameLevel(
  filter: string,
  from: number,
  end: number,
  topic: string,
  topicFrom: number,
  topicEnd: number,
): boolean {
  if (end - from === 1 && filter[from] === '+') return true
  const length = end - from
  return length === topicEnd - topicFrom && topic.startsWith(filter.slice(from, end), topicFrom)
}

/** Whether a message can be published there: not empty, no wildcard, no NUL [MQTT-4.7.3-1, -2], not the broker's own. */
export function isPublishable(topic: string): boolean {
  return topic !== '' && !/[#+\0]/.test(topic) && !topic.startsWith('$SYS/')
}
