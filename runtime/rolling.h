/*
 * Rolling chains: layers that take turns, row by row. What leaves a chain is asked for its next row; a layer that lacks rows
 * asks the one that makes them. Of a tensor between two layers there is room for the rows only that are still needed: they
 * lie one behind the other from its place on, and move there where it is full.
 */

/* One copy of each function, however many chains there are. */
#if defined(__clang__)
#define BITESIZE_ROLLING static __attribute__((noinline, unused))
#elif defined(__GNUC__)
#define BITESIZE_ROLLING static __attribute__((noinline, noclone, unused))
#else
#define BITESIZE_ROLLING static
#endif

/* In place of the layer that writes a band, where rows are pushed into it or all are there before the chain. */
#define BITESIZE_PUSHED 254u
#define BITESIZE_THERE 255u
/* In place of the number of a member, where it is none. */
#define BITESIZE_NONE 255u

/* The rows of a band that are there. The state of a chain, in the arena, says so of each. */
typedef struct {
    uint16_t first;
    uint16_t end;
} bitesize_rows_there;

/* A tensor that layers of a chain read or write; there is room for `rows` of its rows. */
typedef struct {
    uint32_t offset;
    uint32_t row_bytes;
    uint16_t rows;
    uint8_t writer;
} bitesize_band;

/*
 * A layer of a chain. It has `rows` rows, of which those before `end` need the input rows
 * before end * stride + reach, of which there are `input_rows`. Its inputs are `input_count` of the chain's, from `inputs` on. `is`
 * says whether the chain is asked for its rows, whether it has no window, so that it reads the rows that it computes, and
 * whether it computes two rows in a step. Where only one layer can have asked for its rows, it is `reader`.
 */
#define BITESIZE_WANTED 1u
#define BITESIZE_PIXELWISE 2u
#define BITESIZE_TWO_ROWS 4u

typedef struct {
    uint16_t rows;
    uint16_t input_rows;
    int16_t reach;
    uint8_t stride;
    uint8_t is;
    uint8_t output;
    uint8_t inputs;
    uint8_t input_count;
    uint8_t reader;
} bitesize_member;

/* `inputs` and `output` are numbers of bands; `state` is an offset in the arena. */
typedef struct {
    const bitesize_member *members;
    const bitesize_band *bands;
    const uint8_t *inputs;
    uint32_t state;
    uint8_t member_count;
    uint8_t band_count;
} bitesize_chain;

/* Words that a compiler moves together. */
typedef struct {
    uint32_t words[4];
} bitesize_words;

/* The rows that are there, by band. */
#define BITESIZE_STATE(chain, arena) ((bitesize_rows_there *)(void *)((arena) + (chain)->state))

/* The chain at its beginning. */
BITESIZE_ROLLING void bitesize_start(const bitesize_chain *chain, uint8_t *arena)
{
    bitesize_rows_there *const there = BITESIZE_STATE(chain, arena);
    uint32_t number;
    for (number = 0; number < chain->band_count; number++) {
        const bitesize_band *const band = chain->bands + number;
        there[number].first = 0;
        there[number].end = band->writer == BITESIZE_THERE ? band->rows : 0;
    }
}

/* Makes room in band `number` for the rows before `end`. Returns where row `y` lies, in bytes from the band's place. */
BITESIZE_ROLLING uint32_t bitesize_make_room(const bitesize_chain *chain, uint8_t *arena, uint32_t number,
    uint32_t y, uint32_t end)
{
    const bitesize_band *const band = chain->bands + number;
    bitesize_rows_there *const there = BITESIZE_STATE(chain, arena) + number;
    const uint32_t before = there->first;
    if (end - before > band->rows) {
        const uint32_t first = end - band->rows;
        const uint32_t apart = (first - before) * band->row_bytes;
        uint32_t left = (there->end - first) * band->row_bytes;
        uint8_t *to = arena + band->offset;
        if ((apart & 3u) == 0u && apart >= sizeof(bitesize_words)) {
            for (; left >= sizeof(bitesize_words); left -= (uint32_t)sizeof(bitesize_words)) {
                *(bitesize_words *)(void *)to = *(const bitesize_words *)(const void *)(to + apart);
                to += sizeof(bitesize_words);
            }
        }
        for (; left != 0u; left--) {
            *to = to[apart];
            to++;
        }
        there->first = (uint16_t)first;
    }
    there->end = (uint16_t)end;
    return (y - there->first) * band->row_bytes;
}

/*
 * The number of the member that computes what `step` says, room for which is made; BITESIZE_PUSHED where a pushed row is
 * lacking, and BITESIZE_NONE at the end. `before` is the number that it gave the time before, or BITESIZE_NONE.
 */
BITESIZE_ROLLING uint32_t bitesize_next_step(const bitesize_chain *chain, uint8_t *arena, bitesize_step *step,
    uint32_t before)
{
    const bitesize_rows_there *const there = BITESIZE_STATE(chain, arena);
    const bitesize_member *member = chain->members + chain->member_count;
    uint32_t number = before != BITESIZE_NONE ? chain->members[before].reader : BITESIZE_NONE;
    if (number != BITESIZE_NONE) {
        /* For the others nothing has changed. */
        member = chain->members + number;
    } else {
        do {
            if (member == chain->members) {
                return BITESIZE_NONE;
            }
            member--;
        } while ((member->is & BITESIZE_WANTED) == 0u || there[member->output].end == member->rows);
    }
    for (;;) {
        const uint32_t first = there[member->output].end;
        const uint32_t next = first + 1u + member->is / BITESIZE_TWO_ROWS;
        const uint32_t end = next < member->rows ? next : member->rows;
        const uint8_t *const inputs = chain->inputs + member->inputs;
        const uint8_t *const last = inputs + member->input_count - 1;
        const uint8_t *input = inputs;
        int32_t needed = (int32_t)(end * member->stride) + member->reach;
        needed = needed < member->input_rows ? needed : member->input_rows;
        while (input != last && there[*input].end >= needed) {
            input++;
        }
        if (there[*input].end >= needed) {
            step->first = first;
            step->end = end;
            step->inputs[0] = there[*inputs].first;
            if ((member->is & BITESIZE_PIXELWISE) != 0u) {
                step->inputs[0] = (first - there[*inputs].first) * chain->bands[*inputs].row_bytes;
                step->inputs[1] = (first - there[*last].first) * chain->bands[*last].row_bytes;
            }
            step->output = bitesize_make_room(chain, arena, member->output, first, end);
            return (uint32_t)(member - chain->members);
        }
        number = chain->bands[*input].writer;
        if (number == BITESIZE_PUSHED) {
            return number;
        }
        member = chain->members + number;
    }
}
