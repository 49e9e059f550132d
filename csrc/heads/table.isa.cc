// Fills HeadsTable for one instruction set.
#include "heads/table.h"

#include "heads/functions.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

template <class T>
constexpr ProductHeads<T> product_heads{&packed_linear_size<T>, &pack_linear<T>,     &linear<T>,
                                        &linear_part<T>,        &linear_gradient<T>, &linear_cross_entropy<T>};

}  // namespace

extern const HeadsTable heads_table;
const HeadsTable heads_table{
    product_heads<float>,
    product_heads<Pair>,
    {&packed_linear_size<Quad>, &pack_linear<Quad>, &linear<Quad>, &linear_part<Quad>, nullptr, nullptr},
    &log_softmax};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
