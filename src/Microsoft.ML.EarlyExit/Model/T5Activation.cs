namespace Microsoft.ML.EarlyExit;

/// <summary>The non-linearity of a T5 feed-forward layer.</summary>
public enum T5Activation
{
    /// <summary><c>max(x, 0)</c> (T5 v1.0).</summary>
    Relu,

    /// <summary>GELU in its tanh form, Hugging Face's <c>gelu_new</c> (T5 v1.1, FLAN-T5).</summary>
    GeluTanh,

    /// <summary><c>x · sigmoid(x)</c> (UL2).</summary>
    Silu,
}
