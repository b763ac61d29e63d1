/*
 * What kernels composed of stages are told about their layer. A stage knows one width: of the input (gather, spread),
 * of the weights (multiply, levels) or of the output (pack), so that layers of any widths share them.
 */

/* Codes of a window or vector become lanes in multiples of this, which a word of 2-bit weights has. */
#define BITESIZE_LANES 16u

/* Output columns that a depthwise convolution computes together: they bound its scratch. */
#define BITESIZE_COLUMNS 16u

/* Output channels whose codes wait in bytes until they are packed. */
#define BITESIZE_TILE 32u

/* The codes that an output is clamped to. */
typedef struct {
    uint8_t lowest;
    uint8_t highest;
} bitesize_bounds;

/* In each byte of a word: the lowest code, how far the highest is from 255, and the sum of both. */
typedef struct {
    uint32_t lowest;
    uint32_t room;
    uint32_t both;
} bitesize_limits;

/*
 * Codes of an image and where they go: in each of `rows` rows `pieces` times `count` codes from code `first` of a
 * piece on. The next one goes into the low or, where `odd` is 1, the high lane of `word`; the next word is `step` on.
 * Where `apart` is not 0, the codes that many bytes on go, likewise, to the words next to those (`step` is 2): they
 * are those of a second pixel.
 */
typedef struct {
    uint32_t *word;
    uint32_t step;
    uint32_t odd;
    const uint8_t *row;
    uint32_t rows;
    uint32_t row_bytes;
    uint32_t pieces;
    uint32_t piece_bytes;
    uint32_t first;
    uint32_t count;
    uint32_t apart;
} bitesize_code_run;

/*
 * What a multiplication reads and writes: the codes of `count` output channels of one or two pixels, or of a vector.
 * It leaves `channels`, `shifts` and `values` behind those; that of pixels stops before channels that it cannot
 * finish, behind which `values` is already. The assembly of multiply_pixels.h knows where in it what is.
 */
typedef struct {
    const bitesize_channel *channels;
    /* Bytes for the codes of the first pixel. */
    uint8_t *first;
    /* 2^acc_shift, and twice the output's zero point and 1. */
    uint32_t factor;
    int32_t zero;
    /* From a code of the first pixel to that of the second. */
    uint32_t second;
    const uint8_t *shifts;
    int32_t count;
    /* What sums start from; 0 for weights of 8 bits. */
    uint32_t start_first;
    uint32_t start_second;
    const uint32_t *lanes;
    /* Bytes of the weights of two output channels. */
    uint32_t weight_bytes;
    /* The lowest code of a word of weights in both lanes. */
    uint32_t mask;
    const uint32_t *values;
    /* Of two channels that are left, those of the first in both pixels, then those of the second. */
    uint32_t sums[4];
    /* Whether what sums start from is known; 0 before the first call with these lanes. */
    uint32_t started;
} bitesize_block;

/* The first of four channels in column 0 of a row, and bytes from one column to the next: 0 in the padding. */
typedef struct {
    const uint8_t *codes;
    uint32_t step;
} bitesize_strip_row;

/*
 * Four channels of two rows of an image, or, where `pairs` is 2, of four, and where their lanes go: column by column
 * and channel by channel `pairs` words, of which two rows fill the first, four both.
 */
typedef struct {
    uint32_t *lanes;
    uint32_t pairs;
    bitesize_strip_row rows[4];
    /* The same of columns outside the image: four bytes that can be read, again and again. */
    bitesize_strip_row outside[4];
    /* 2 where four rows have one step. */
    uint32_t together;
    uint32_t column;
    uint32_t columns;
    uint32_t in_w;
    uint32_t channels;
} bitesize_strip;

/* The weights of four channels, tap by tap as they lie in FLASH, and where their lanes go. */
typedef struct {
    uint32_t *lanes;
    uint32_t plane;
    const uint8_t *values;
    uint32_t tap_bytes;
    uint32_t kernel_h;
    uint32_t kernel_w;
    uint32_t channels;
} bitesize_strip_weights;

/* The codes of up to four channels of neighbouring pixels, a word each, on their way to the output. */
typedef struct {
    const uint32_t *codes;
    uint32_t pixels;
    uint8_t *output;
    uint32_t pixel_bytes;
    uint32_t channels;
    bitesize_limits clamp;
} bitesize_strip_codes;

/*
 * The codes of `count` channels of two pixels, `apart` bytes between them, on their way to the output, where
 * `pixel_bytes` are between them. Both are 0 where there is only one.
 */
typedef struct {
    const uint8_t *codes;
    uint8_t *output;
    uint32_t count;
    uint32_t apart;
    uint32_t pixel_bytes;
    bitesize_limits clamp;
} bitesize_tile;

typedef void bitesize_gather_stage(bitesize_code_run *run);
typedef void bitesize_multiply_stage(bitesize_block *block);
typedef void bitesize_pack_stage(const bitesize_tile *tile);
typedef void bitesize_spread_stage(const bitesize_strip *strip);
typedef void bitesize_levels_stage(const bitesize_strip_weights *strip);
typedef void bitesize_pack_strip_stage(const bitesize_strip_codes *strip);

/* Weights, and the way from a sum to an output code, as in bitesize_weights; the clamp is the pack stage's. */
typedef struct {
    const void *values;
    const bitesize_channel *channels;
    const uint8_t *shifts;
    uint8_t acc_shift;
    uint8_t zero;
    bitesize_bounds bounds;
} bitesize_lane_weights;

/*
 * `words` are those of an output channel's weights. `pack` may be null where the output has 8 bits and all codes: then
 * it is written at once.
 */
typedef struct {
    bitesize_lane_weights weights;
    bitesize_window window;
    bitesize_gather_stage *gather;
    bitesize_multiply_stage *multiply;
    bitesize_pack_stage *pack;
    const uint8_t *padding;
    uint32_t input;
    uint32_t output;
    uint32_t scratch;
    uint32_t words;
    uint16_t pixel_bytes;
    uint16_t out_pixel_bytes;
    uint16_t groups;
    uint16_t in_per_group;
    uint16_t out_per_group;
    uint8_t padding_code;
    /* Whether the codes of neighbouring taps of a row follow one another. */
    uint8_t joined;
    uint8_t out_bits;
} bitesize_conv2d_rows_layer;

/* `words` are those of an output channel's weights. */
typedef struct {
    bitesize_lane_weights weights;
    bitesize_gather_stage *gather;
    bitesize_multiply_stage *multiply;
    bitesize_pack_stage *pack;
    uint32_t input;
    uint32_t output;
    uint32_t scratch;
    uint32_t words;
    uint32_t in_channels;
    uint32_t out_channels;
    uint8_t out_bits;
} bitesize_fully_connected_rows_layer;

/*
 * `fill` has the padding code at each of its places. Of all channels `at_once` rows are computed, then those behind them, so
 * that they may lie where rows were that nothing reads any more.
 */
typedef struct {
    bitesize_lane_weights weights;
    bitesize_window window;
    bitesize_spread_stage *spread;
    bitesize_levels_stage *levels;
    bitesize_pack_strip_stage *pack;
    const uint8_t *padding;
    uint32_t input;
    uint32_t output;
    uint32_t scratch;
    uint16_t pixel_bytes;
    uint16_t out_pixel_bytes;
    uint16_t tap_bytes;
    uint16_t channels;
    uint16_t at_once;
    uint8_t fill;
    uint8_t in_bits;
    uint8_t weight_bits;
    uint8_t out_bits;
} bitesize_depthwise_conv2d_rows_layer;
