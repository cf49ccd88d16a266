import { describe, expect, it } from 'vitest'
import { eventually, within } from '../../support/eventually.ts'

describe('eventually', () => {
  it('resolves to the first truthy value', async () => {
    let calls = 0
    expect(await eventually('three calls', () => (++calls === 3 ? 'there' : undefined))).toBe(
      'there',
    )
    expect(calls).toBe(3)
  })

  it('goes on while the check throws or rejects', async () => {
    let calls = 0
    const check = async () => {
      if (++calls < 4) throw new Error('too early')
      return true
    }
    await eventually('no error', check)
    expect(calls).toBe(4)
  })

  it('names the condition and the last error at the deadline', async () => {
    const check = () => {
      throw new Error('still dark')
    }
    await expect(eventually('dawn', check, { deadline: 30 })).rejects.toThrow(
      'waiting for dawn: not within 30 ms (still dark)',
    )
  })

  it('names the last value at the deadline', async () => {
    await expect(eventually('dawn', () => 0, { deadline: 0 })).rejects.toThrow('last value: 0')
  })
})

describe('within', () => {
  it('hands on what the promise gives or throws', async () => {
    expect(await within('one', 1000, Promise.resolve(1))).toBe(1)
    await expect(within('one', 1000, Promise.reject(new Error('no')))).rejects.toThrow('no')
  })

  it('rejects when the promise is late', async () => {
    await expect(within('never', 10, new Promise(() => undefined))).rejects.toThrow(
      'waiting for never: not within 10 ms',
    )
  })
})
