import { describe, expect, it } from 'vitest'
import { RouteBooks } from '../../../src/core/books.ts'
import type { Decision } from '../../../src/core/decision.ts'
import { MessageView } from '../../../src/core/message-view.ts'
import { Mode, type Plan } from '../../../src/delivery/plans.ts'
import { tapped } from '../../../src/delivery/tapped.ts'

describe('a tapped flow', () => {
  it.each<[Decision['outcome'], (books: RouteBooks) => void]>([
    ['forwarded', (books) => books.forwarded.fill(1, 0, 1)],
    ['inFlight', (books) => books.inFlight++],
    ['filtered', (books) => books.filtered++],
    ['tooLarge', (books) => books.drop('tooLarge')],
    ['noRoute', (books) => books.drop('noRoute')],
  ])('reads %s off the books', (outcome, receive) => {
    expect(watch(receive)).toEqual([
      {
        direction: 'mqttToNats',
        route: 'sensors',
        name: 'mqtt/a',
        address: 'a',
        qos: 1,
        retain: true,
        bytes: 4,
        outcome,
      },
    ])
  })

  it('is not misled by what happened before', () => {
    const before = (books: RouteBooks) => {
      books.filtered = 3
      books.forwarded[1] = 7
      books.drop('expired')
    }
    const [decision] = watch((books) => books.inFlight++, before)
    expect(decision?.outcome).toBe('inFlight')
  })
})

function watch(
  receive: (books: RouteBooks) => void,
  before: (books: RouteBooks) => void = () => undefined,
): Decision[] {
  const books = new RouteBooks('sensors', 'mqttToNats')
  before(books)
  const plan: Plan<unknown> = {
    books,
    route: 0,
    target: {},
    address: 'a',
    refusal: undefined,
    text: '',
    mode: Mode.confirmed,
    qos: 1,
    retain: 'keep',
    owner: 0,
  }
  const view = new MessageView()
  view.buffer = Buffer.from('mqtt/a21.5')
  view.nameEnd = 6
  view.payloadStart = 6
  view.payloadEnd = 10
  view.qos = 1
  view.retain = true
  const told: Decision[] = []
  const hook = tapped((decision, seen) => {
    expect(seen).toBe(view)
    told.push(decision)
  })
  hook(view, plan, () => receive(books))
  return told
}
