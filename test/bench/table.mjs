/** @typedef {{ title: string, columns: string[], rows: string[][] }} Table */

const NUMBER = /^[\d.,–]+( %)?$/

/**
 * A table as Markdown that also reads well in a terminal; numbers stand to the right.
 *
 * @param {Table} table
 */
export function tableText({ title, columns, rows }) {
  const widths = columns.map((column, i) =>
    Math.max(3, column.length, ...rows.map((row) => row[i].length)),
  )
  const isRight = columns.map((_, i) => rows.every((row) => NUMBER.test(row[i])))
  const line = (/** @type {string[]} */ cells) => {
    const padded = cells.map((cell, i) =>
      isRight[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i]),
    )
    return `| ${padded.join(' | ')} |`
  }
  const rule = widths.map((width, i) =>
    isRight[i] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  )
  return [title, '', line(columns), line(rule), ...rows.map(line)].join('\n')
}
