// The cells of one instruction set: a new cell is one line here.
#include "unroll/table.h"

#include "cells/elman.h"
#include "cells/gru.h"
#include "cells/lstm.h"
#include "gemm/pack.h"
#include "unroll/backward.h"
#include "unroll/forward.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

namespace {

template <class Cell, class V, class S = typename V::Scalar>
constexpr CellFunctions<S> functions() {
  return {&Cell::info, &forward<Cell, V>, &backward<Cell, V>};
}

template <class V, class S = typename V::Scalar>
constexpr CellFunctions<S> kCells[] = {
    functions<Elman<Tanh>, V>(), functions<Elman<Relu>, V>(), functions<Lstm, V>(),
    functions<GruBefore, V>(),   functions<GruAfter, V>(),
};

template <class S>
void pack_rows_together(const S* weight, int64_t stride, const Place* places, const Packed<S>& packed, S* out) {
  const int64_t grain = larger<int64_t>(1, 65536 / (packed.panel * kLanes * larger<int64_t>(1, packed.depth)));
  parallel_for(packed.num_panels(), grain,
               [&](int64_t begin, int64_t end) { pack_rows(weight, stride, places, packed, out, begin, end); });
}

template <class V, class S = typename V::Scalar>
void pack_columns_together(const S* weight, int64_t stride, int64_t columns, const Place* places, int64_t num_places,
                           const Packed<S>& packed, S* out) {
  const int64_t grain = larger<int64_t>(1, 65536 / (packed.panel * kLanes * larger<int64_t>(1, packed.depth)));
  parallel_for(packed.num_panels(), grain, [&](int64_t begin, int64_t end) {
    pack_columns<V>(weight, stride, columns, places, num_places, true, packed, out, begin, end);
  });
}

template <class V, class S = typename V::Scalar>
constexpr RecurrentTable<S> table() {
  return {sizeof(kCells<V>) / sizeof(kCells<V>[0]), kCells<V>, &pack_rows_together<S>, &pack_columns_together<V>};
}

}  // namespace

extern const RecurrentTable<float> recurrent_table;
const RecurrentTable<float> recurrent_table = table<Vec<float>>();

#if defined(RNNKIT_ISA_PORTABLE)
extern const RecurrentTable<double> recurrent_double_table;
const RecurrentTable<double> recurrent_double_table = table<Vec<double>>();
#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
