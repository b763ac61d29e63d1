/* Which rows of its output a layer computes, and where they lie. */

/* The row behind the last that `step` computes of `rows`. */
BITESIZE_INLINE uint32_t bitesize_step_end(const bitesize_step *step, uint32_t rows)
{
    return step->end < rows ? step->end : rows;
}
