// Fills HeadsTable for one instruction set.
#include "heads/table.h"

#include "heads/functions.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

template <class T>
constexpr ProductHeads<T> product_heads{&packed_linear_size<T>,   &pack_linear<T>,         &linear<T>,
                                        &linear_part<T>,          &convolution<T>,         &linear_gradient<T>,
                                        &convolution_gradient<T>, &linear_cross_entropy<T>};

#if defined(RNNKIT_ISA_AMX)
constexpr ProductHeads<Triple> split_heads{
    &packed_linear_size<Triple>,   &pack_linear<Triple>,        &linear<Triple>,
    &linear_part<Triple>,          &convolution<Triple>,        &linear_gradient<Triple>,
    &convolution_gradient<Triple>, &linear_cross_entropy<float>};
constexpr const ProductHeads<Triple>* kSplitHeads = &split_heads;
#else
constexpr const ProductHeads<Triple>* kSplitHeads = nullptr;
#endif

}  // namespace

extern const HeadsTable heads_table;
const HeadsTable heads_table{product_heads<float>,
                             product_heads<Pair>,
                             {&packed_linear_size<Quad>, &pack_linear<Quad>, &linear<Quad>, &linear_part<Quad>,
                              &convolution<Quad>, nullptr, nullptr, nullptr},
                             kSplitHeads,
                             &log_softmax,
                             &attention,
                             &attention_gradient};

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
